//! The JSON of other programs, for tools that read theirs. Each function leaves the closing brace to its caller.

use serde::Serialize;

use super::json::members;
use crate::export::python::{milliseconds, single, strip};
use crate::export::timestamps::TimestampStyle;
use crate::transcript::{Segment, Transcript, Word};

/// Serializes an object without its closing brace.
fn unclosed<T: Serialize>(object: &T) -> String {
    format!("{{{}", members(object))
}

/// The style of transformers' pipelines: pieces of text with their times.
pub fn hf(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct HfJson<'t> {
        text: &'t str,
        chunks: Vec<HfJsonChunk<'t>>,
        /// The chunks of known speakers, as insanely-fast-whisper lists them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        speakers: Vec<HfJsonChunk<'t>>,
    }
    #[derive(Serialize)]
    struct HfJsonChunk<'t> {
        #[serde(skip_serializing_if = "Option::is_none")]
        speaker: Option<&'t str>,
        timestamp: [f64; 2],
        text: &'t str,
    }
    fn chunk(Segment { start, end, text, speaker, .. }: &Segment) -> HfJsonChunk<'_> {
        HfJsonChunk { speaker: speaker.as_deref(), timestamp: [*start, *end], text }
    }
    let segments = &transcript.segments;
    unclosed(&HfJson {
        text: &transcript.text,
        chunks: segments.iter().map(chunk).collect(),
        speakers: segments.iter().filter(|segment| segment.speaker.is_some()).map(chunk).collect(),
    })
}

/// The style of whisperX: segments with scored words, and a list of all words.
pub fn whisperx(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct WhisperXJson<'t> {
        segments: Vec<WhisperXJsonSegment<'t>>,
        word_segments: Vec<WhisperXJsonWord<'t>>,
        language: &'t str,
    }
    #[derive(Serialize)]
    struct WhisperXJsonSegment<'t> {
        start: f64,
        end: f64,
        text: &'t str,
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<Vec<WhisperXJsonWord<'t>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        speaker: Option<&'t str>,
    }
    #[derive(Serialize)]
    struct WhisperXJsonWord<'t> {
        word: &'t str,
        start: f64,
        end: f64,
        score: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        speaker: Option<&'t str>,
    }
    fn scored(word: &Word) -> WhisperXJsonWord<'_> {
        WhisperXJsonWord {
            word: strip(&word.word),
            start: word.start,
            end: word.end,
            score: single(word.probability),
            speaker: word.speaker.as_deref(),
        }
    }
    let segments = transcript.segments.iter().map(|segment| WhisperXJsonSegment {
        start: segment.start,
        end: segment.end,
        text: &segment.text,
        words: segment.words.as_ref().map(|words| words.iter().map(scored).collect()),
        speaker: segment.speaker.as_deref(),
    });
    let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
    unclosed(&WhisperXJson {
        segments: segments.collect(),
        word_segments: words.map(scored).collect(),
        language: &transcript.language,
    })
}

/// The style of whisper.cpp: times as timestamps and as milliseconds, with words in place of tokens.
pub fn whisper_cpp(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct WhisperCppDocument<'t> {
        systeminfo: String,
        model: WhisperCppModel<'t>,
        params: WhisperCppParams<'t>,
        result: WhisperCppLanguage<'t>,
        transcription: Vec<WhisperCppDocumentSegment<'t>>,
    }
    #[derive(Serialize)]
    struct WhisperCppModel<'t> {
        r#type: &'t str,
    }
    #[derive(Serialize)]
    struct WhisperCppParams<'t> {
        model: &'t str,
        language: &'t str,
    }
    #[derive(Serialize)]
    struct WhisperCppLanguage<'t> {
        language: &'t str,
    }
    #[derive(Serialize)]
    struct WhisperCppDocumentSegment<'t> {
        timestamps: WhisperCppTimes<String>,
        offsets: WhisperCppTimes<i64>,
        text: &'t str,
        #[serde(skip_serializing_if = "Option::is_none")]
        p: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens: Option<Vec<WhisperCppDocumentSegment<'t>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        speaker: Option<&'t str>,
    }
    #[derive(Serialize)]
    struct WhisperCppTimes<T> {
        from: T,
        to: T,
    }
    fn timed(text: &str, start: f64, end: f64) -> WhisperCppDocumentSegment<'_> {
        const STYLE: TimestampStyle = TimestampStyle { always_hours: true, separator: ',' };
        let (from, to) = (milliseconds(start), milliseconds(end));
        let timestamps = WhisperCppTimes { from: STYLE.time(from), to: STYLE.time(to) };
        WhisperCppDocumentSegment {
            timestamps,
            offsets: WhisperCppTimes { from, to },
            text,
            p: None,
            tokens: None,
            speaker: None,
        }
    }
    fn token(Word { word, start, end, probability, .. }: &Word) -> WhisperCppDocumentSegment<'_> {
        WhisperCppDocumentSegment { p: Some(single(*probability)), ..timed(word, *start, *end) }
    }
    fn segment(Segment { text, start, end, words, speaker, .. }: &Segment) -> WhisperCppDocumentSegment<'_> {
        let tokens = words.as_ref().map(|words| words.iter().map(token).collect());
        let speaker = speaker.as_deref();
        WhisperCppDocumentSegment { tokens, speaker, ..timed(text, *start, *end) }
    }
    let Transcript { language, model, .. } = transcript;
    unclosed(&WhisperCppDocument {
        systeminfo: format!("transcribe {}", env!("CARGO_PKG_VERSION")),
        model: WhisperCppModel { r#type: &model.name },
        params: WhisperCppParams { model: &model.name, language },
        result: WhisperCppLanguage { language },
        transcription: transcript.segments.iter().map(segment).collect(),
    })
}
