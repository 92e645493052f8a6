//! Samples → where to cut: the middle of pauses, so that chunks can be transcribed apart from each other. Knows
//! no file and no network that transcribes.
//!
//! [`VoiceActivity`] says how likely each 10 ms frame is speech, [`loudness`] how loud it is; [`choice`] finds
//! the best place in a stretch of such frames; [`Cutter`] keeps the stretch moving through the audio.

mod choice;
mod cutter;
mod loudness;
mod voice;

pub use cutter::{Cut, Cutter};
pub use voice::VoiceActivity;

/// What is known of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Frame {
    /// How likely it is speech.
    speech: f32,
    /// Mean power without its constant part.
    power: f32,
}
