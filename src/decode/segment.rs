//! Timed text: what decoding yields. Knows nothing of how it was made.

/// One timed piece of text, with the fields and the meaning of openai/whisper's segments.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Counts from 0 within the stretch of audio.
    pub id: usize,
    /// Mel frame at which the window began that held it.
    pub seek: usize,
    /// Seconds from the start of the stretch of audio.
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
