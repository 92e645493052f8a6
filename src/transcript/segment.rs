//! Segments and words: timed text.

use serde::{Deserialize, Serialize};

/// A timed piece of text, with the fields and meanings of openai/whisper's segments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Counts from 0 within the input; before chunks are joined, within the chunk.
    pub id: usize,
    /// Mel frame of the input at which its window begins.
    pub seek: usize,
    /// Seconds from the start of the input.
    pub start: f64,
    pub end: f64,
    /// As the tokens spell it, usually with a leading blank; empty if the segment has no length or no text.
    pub text: String,
    /// Text and timestamp tokens; empty whenever `text` is.
    pub tokens: Vec<u32>,
    pub temperature: f64,
    pub avg_logprob: f64,
    pub compression_ratio: f64,
    pub no_speech_prob: f64,
    /// Code of its language, if each window has a language of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Name of its speaker, if speakers were told apart and somebody is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// The words of `text` in its order; none unless words are timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Word>>,
}

/// A timed word, with the fields and meanings of openai/whisper's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// As the tokens spell it: with its leading blank, if any, and with the punctuation that belongs to it.
    pub word: String,
    /// Seconds from the start of the input.
    pub start: f64,
    pub end: f64,
    pub probability: f64,
    /// Name of its speaker, as for segments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
}
