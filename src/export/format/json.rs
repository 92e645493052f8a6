//! The whole result on one line: openai's keys as Python's json prints them, and behind them what else is known.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json_styles as styles;
use crate::export::options::{JsonStyle, Shape};
use crate::export::partial::JSON_MARK;
use crate::export::{CueQuality, Exporter, cues, python, quality};
use crate::transcript::{Quality, Segment, Skipped, Transcript, Word};

pub struct Json;

impl Exporter for Json {
    fn extension(&self) -> &'static str {
        "json"
    }

    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8> {
        let mut out = match shape.json {
            JsonStyle::Full => format!("{}, {}", openai(transcript), members(&Ours::new(transcript, shape))),
            JsonStyle::OpenAi => openai(transcript),
            JsonStyle::WhisperCpp => styles::whisper_cpp(transcript),
            JsonStyle::WhisperX => styles::whisperx(transcript),
            JsonStyle::Hf => styles::hf(transcript),
        };
        if transcript.is_partial {
            out.push_str(JSON_MARK);
        }
        out.push('}');
        out.into_bytes()
    }
}

/// What openai's result does not hold. New keys come at the end.
#[derive(Serialize)]
struct Ours<'t> {
    /// The input without its folder, so that the same recording gives the same bytes wherever it lies.
    source: &'t str,
    /// Seconds of audio.
    duration: f64,
    model: Model<'t>,
    /// How likely the language is; none if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    language_probability: Option<f64>,
    /// Languages that are not out of the question, by code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    languages: BTreeMap<&'t str, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<Skip>,
    quality: Quality,
    /// Of what srt, vtt and ass show.
    subtitles: CueQuality,
}

/// What was not listened to.
#[derive(Serialize)]
struct Skip {
    start: f64,
    end: f64,
    why: &'static str,
}

#[derive(Serialize)]
struct Model<'t> {
    name: &'t str,
    revision: Option<&'t str>,
}

impl<'t> Ours<'t> {
    fn new(transcript: &'t Transcript, shape: &Shape) -> Self {
        let Transcript { source, duration, model, .. } = transcript;
        let model = Model { name: &model.name, revision: model.revision.as_deref() };
        let source = source.rsplit(['/', '\\']).next().unwrap_or(source);
        let language_probability = transcript.language_probability;
        let likely = transcript.languages.iter().filter(|(_, probability)| *probability >= 0.001);
        let languages = likely.map(|(code, probability)| (code.as_str(), *probability)).collect();
        let skip = |span: &Skipped| Skip { start: span.start, end: span.end, why: span.why.name() };
        let skipped = transcript.skipped.iter().map(skip).collect();
        let subtitles = quality(&cues(transcript, shape).list, shape);
        Self {
            source,
            duration: *duration,
            model,
            language_probability,
            languages,
            skipped,
            quality: Quality::of(transcript),
            subtitles,
        }
    }
}

/// An object without its braces.
pub fn members<T: Serialize>(object: &T) -> String {
    // Texts and numbers under fixed keys cannot fail to be written.
    let json = python::json(object).unwrap_or_default();
    json.strip_prefix('{').and_then(|json| json.strip_suffix('}')).unwrap_or_default().to_owned()
}

/// openai's object, without its closing brace.
fn openai(transcript: &Transcript) -> String {
    let mut out = String::from("{\"text\": ");
    python::string(&transcript.text, &mut out);
    out.push_str(", \"segments\": [");
    for (i, segment) in transcript.segments.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_segment(segment, &mut out);
    }
    out.push_str("], \"language\": ");
    python::string(&transcript.language, &mut out);
    out
}

fn write_segment(segment: &Segment, out: &mut String) {
    let Segment { id, seek, start, end, text, tokens, .. } = segment;
    let (start, end) = (python::float(*start), python::float(*end));
    out.push_str(&format!(
        "{{\"id\": {id}, \"seek\": {seek}, \"start\": {start}, \"end\": {end}, \"text\": "
    ));
    python::string(text, out);
    let tokens: Vec<String> = tokens.iter().map(u32::to_string).collect();
    let measures = [
        ("temperature", segment.temperature),
        ("avg_logprob", segment.avg_logprob),
        ("compression_ratio", segment.compression_ratio),
        ("no_speech_prob", segment.no_speech_prob),
    ];
    out.push_str(&format!(", \"tokens\": [{}]", tokens.join(", ")));
    for (name, value) in measures {
        out.push_str(&format!(", \"{name}\": {}", python::float(value)));
    }
    // openai's program knows one language for all.
    if let Some(language) = &segment.language {
        out.push_str(", \"language\": ");
        python::string(language, out);
    }
    if let Some(words) = &segment.words {
        out.push_str(", \"words\": [");
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_word(word, out);
        }
        out.push(']');
    }
    out.push('}');
}

fn write_word(Word { word, start, end, probability }: &Word, out: &mut String) {
    out.push_str("{\"word\": ");
    python::string(word, out);
    for (name, value) in [("start", start), ("end", end), ("probability", probability)] {
        out.push_str(&format!(", \"{name}\": {}", python::float(*value)));
    }
    out.push('}');
}
