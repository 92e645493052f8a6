//! Timed text: what decoding yields. Knows nothing of how it was made.

use serde::{Deserialize, Serialize};

/// One timed piece of text, with the fields and the meaning of openai/whisper's segments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Counts from 0 within the recording, or within the chunk as long as that is all there is.
    pub id: usize,
    /// Mel frame of the recording at which the window began that held it.
    pub seek: usize,
    /// Seconds from the start of the recording.
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
    /// Code of the language it was heard in, where each window was asked for its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The words of `text` in its order; none if they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Vec<Word>>,
}

/// One word with its time, as openai/whisper's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// As the tokens spell it: with its leading blank where there is one, and with the marks that belong to it.
    pub word: String,
    /// Seconds from the start of the recording.
    pub start: f64,
    pub end: f64,
    pub probability: f64,
}
