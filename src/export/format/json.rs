//! The whole transcript as one line of JSON: openai's keys as Python's `json` prints them, then everything else that is
//! known.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json_styles;
use crate::export::partial::JSON_MARK;
use crate::export::python::{self, rounded, single};
use crate::export::{CueQuality, JsonStyle, Rendering};
use crate::transcript::{Quality, Segment, Skipped, Speaker, SpeakerTurns, Transcript, Turn, Word};

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    document(rendering, rendering.options().json_style).into_bytes()
}

/// Returns the transcript in the shape of a program.
pub fn document(rendering: &Rendering<'_>, style: JsonStyle) -> String {
    let transcript = rendering.transcript();
    let mut out = match style {
        JsonStyle::Full => {
            format!("{}, {}", own_members(transcript), members(&ExtraMembers::new(rendering)))
        }
        JsonStyle::OpenAi => openai_members(transcript, NumberStyle::Exact),
        JsonStyle::WhisperCpp => json_styles::whisper_cpp(transcript),
        JsonStyle::WhisperX => json_styles::whisperx(transcript),
        JsonStyle::Hf => json_styles::hf(transcript),
    };
    if transcript.is_partial {
        out.push_str(JSON_MARK);
    }
    out.push('}');
    out
}

/// How times and scores are written.
#[derive(Clone, Copy)]
enum NumberStyle {
    /// As openai's program writes them.
    Exact,
    /// With the digits that mean something.
    Shortened,
}

impl NumberStyle {
    fn time(self, seconds: f64) -> f64 {
        match self {
            NumberStyle::Exact => seconds,
            NumberStyle::Shortened => rounded(seconds),
        }
    }

    fn score(self, score: f64) -> f64 {
        match self {
            NumberStyle::Exact => score,
            NumberStyle::Shortened => single(score),
        }
    }
}

/// The keys that openai's result does not have. New keys go to the end.
#[derive(Serialize)]
struct ExtraMembers<'r> {
    /// The input without its folder, so that the same recording gives the same bytes in every folder.
    source: &'r str,
    /// The duration of the audio in seconds.
    duration: f64,
    model: ModelMember<'r>,
    /// The probability of the language; none if it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    language_probability: Option<f64>,
    /// The plausible languages by code.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    languages: BTreeMap<&'r str, f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<SkippedMember>,
    quality: Quality,
    /// How readable the cues of the subtitle formats are.
    subtitles: &'r CueQuality,
    #[serde(flatten)]
    turns: Option<TurnMembers<'r>>,
}

/// Who speaks when, if speakers were told apart.
#[derive(Serialize)]
struct TurnMembers<'r> {
    speakers: Vec<SpeakerMember<'r>>,
    turns: Vec<TurnMember<'r>>,
}

#[derive(Serialize)]
struct SpeakerMember<'r> {
    name: &'r str,
    seconds: f64,
}

#[derive(Serialize)]
struct TurnMember<'r> {
    start: f64,
    end: f64,
    speaker: &'r str,
}

impl<'r> TurnMembers<'r> {
    fn new(known: &'r SpeakerTurns) -> Self {
        let speaker = |speaker: &'r Speaker| SpeakerMember { name: &speaker.name, seconds: speaker.seconds };
        let turn =
            |turn: &'r Turn| TurnMember { start: turn.start, end: turn.end, speaker: known.name(turn) };
        Self {
            speakers: known.speakers.iter().map(speaker).collect(),
            turns: known.turns.iter().map(turn).collect(),
        }
    }
}

/// A part of the recording that was not transcribed.
#[derive(Serialize)]
struct SkippedMember {
    start: f64,
    end: f64,
    why: &'static str,
}

#[derive(Serialize)]
struct ModelMember<'r> {
    name: &'r str,
    revision: Option<&'r str>,
}

impl<'r> ExtraMembers<'r> {
    fn new(rendering: &'r Rendering<'_>) -> Self {
        let transcript = rendering.transcript();
        let Transcript { source, duration, model, .. } = transcript;
        let model = ModelMember { name: &model.name, revision: model.revision.as_deref() };
        let source = file_name(source);
        let language_probability = transcript.language_probability.map(single);
        let likely = transcript.languages.iter().filter(|(_, probability)| *probability >= 0.001);
        let languages = likely.map(|(code, probability)| (code.as_str(), single(*probability))).collect();
        let skipped =
            |span: &Skipped| SkippedMember { start: span.start, end: span.end, why: span.why.name() };
        Self {
            source,
            duration: *duration,
            model,
            language_probability,
            languages,
            skipped: transcript.skipped.iter().map(skipped).collect(),
            quality: Quality::of(transcript),
            subtitles: rendering.cue_quality(),
            turns: transcript.speakers.as_ref().map(TurnMembers::new),
        }
    }
}

/// Returns the name of an input without its folder.
pub fn file_name(source: &str) -> &str {
    source.rsplit(['/', '\\']).next().unwrap_or(source)
}

/// Serializes an object without its braces.
pub fn members<T: Serialize>(object: &T) -> String {
    // Serializing strings and numbers under fixed keys cannot fail.
    let json = python::json(object).unwrap_or_default();
    json.strip_prefix('{').and_then(|json| json.strip_suffix('}')).unwrap_or_default().to_owned()
}

/// Serializes openai's keys as this program writes them, without the closing brace.
pub fn own_members(transcript: &Transcript) -> String {
    openai_members(transcript, NumberStyle::Shortened)
}

/// Serializes the result of openai/whisper, without its closing brace. `shown` says how numbers are.
fn openai_members(transcript: &Transcript, shown: NumberStyle) -> String {
    let mut out = String::from("{\"text\": ");
    python::string(&transcript.text, &mut out);
    out.push_str(", \"segments\": [");
    for (i, segment) in transcript.segments.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_segment(segment, shown, &mut out);
    }
    out.push_str("], \"language\": ");
    python::string(&transcript.language, &mut out);
    out
}

fn write_segment(segment: &Segment, shown: NumberStyle, out: &mut String) {
    let Segment { id, seek, start, end, text, tokens, .. } = segment;
    let (start, end) = (python::float(shown.time(*start)), python::float(shown.time(*end)));
    out.push_str(&format!(
        "{{\"id\": {id}, \"seek\": {seek}, \"start\": {start}, \"end\": {end}, \"text\": "
    ));
    python::string(text, out);
    let tokens: Vec<String> = tokens.iter().map(u32::to_string).collect();
    let scores = [
        ("temperature", segment.temperature),
        ("avg_logprob", segment.avg_logprob),
        ("compression_ratio", segment.compression_ratio),
        ("no_speech_prob", segment.no_speech_prob),
    ];
    out.push_str(&format!(", \"tokens\": [{}]", tokens.join(", ")));
    for (name, value) in scores {
        out.push_str(&format!(", \"{name}\": {}", python::float(shown.score(value))));
    }
    // openai's program has one language for all segments.
    if let Some(language) = &segment.language {
        out.push_str(", \"language\": ");
        python::string(language, out);
    }
    write_speaker(segment.speaker.as_deref(), shown, out);
    if let Some(words) = &segment.words {
        out.push_str(", \"words\": [");
        for (i, word) in words.iter().enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            write_word(word, shown, out);
        }
        out.push(']');
    }
    out.push('}');
}

/// Writes the name of a speaker, of whom openai's program knows nothing.
fn write_speaker(speaker: Option<&str>, shown: NumberStyle, out: &mut String) {
    if let (Some(name), NumberStyle::Shortened) = (speaker, shown) {
        out.push_str(", \"speaker\": ");
        python::string(name, out);
    }
}

fn write_word(word: &Word, shown: NumberStyle, out: &mut String) {
    let Word { word, start, end, probability, speaker } = word;
    let probability = shown.score(*probability);
    let (start, end) = (shown.time(*start), shown.time(*end));
    out.push_str("{\"word\": ");
    python::string(word, out);
    for (name, value) in [("start", start), ("end", end), ("probability", probability)] {
        out.push_str(&format!(", \"{name}\": {}", python::float(value)));
    }
    write_speaker(speaker.as_deref(), shown, out);
    out.push('}');
}
