//! Samples → how likely each 10 ms frame is speech, how loud it is, and the regions in which somebody speaks.
//!
//! Leaves to `chunking` what is done with them.

mod analyzer;
mod detector;
mod loudness;
mod regions;

pub use analyzer::Listener;
pub use detector::VoiceActivity;
pub use regions::{SpeechFinder, Step, VoiceOptions};

/// What is known of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// How likely it is speech.
    pub speech: f32,
    /// Mean power without its constant part.
    pub power: f32,
}
