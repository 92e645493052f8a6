//! Voice activity detection: samples → per 10 ms frame a speech probability and a power, and from these the speech
//! regions.
//!
//! What is skipped or cut on this basis is decided by `chunking`.

mod analyzer;
mod detector;
mod loudness;
mod regions;
mod silero;

pub use analyzer::FrameAnalyzer;
pub use detector::VoiceDetector;
pub use regions::{RegionDetector, RegionEvent, VoiceOptions};

/// Features of one 10 ms frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadFrame {
    /// The probability that it is speech.
    pub speech: f32,
    /// The mean power, without the DC component.
    pub power: f32,
}
