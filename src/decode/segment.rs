//! Timed text: what decoding yields. Knows nothing of how it was made.

use serde::{Deserialize, Serialize};

/// One timed piece of text, with the fields and the meaning of openai/whisper's segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
}
