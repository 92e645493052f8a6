//! Samples → what of them is to be understood, and where to cut it: in the middle of pauses, so that chunks can be
//! transcribed apart from each other. Knows no file and no network that transcribes.
//!
//! [`VoiceActivity`] says how likely each 10 ms frame is speech, [`loudness`] how loud it is; [`choice`] finds
//! the best place in a stretch of such frames; [`Cutter`] keeps the stretch moving through the audio. [`Clips`] are
//! what a person asks for, [`speech`] finds where somebody speaks; [`Divider`] puts all of it together.

mod choice;
mod clips;
mod cutter;
mod divider;
mod listener;
mod loudness;
mod speech;
mod voice;

pub use clips::{Clip, Clips, seconds};
pub use cutter::{Cut, Cutter};
pub use divider::{Account, Divider, Gap, Manner, Mark, Selection};
pub use listener::Listener;
pub use speech::VoiceOptions;
pub use voice::VoiceActivity;

/// What is known of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// How likely it is speech.
    pub speech: f32,
    /// Mean power without its constant part.
    pub power: f32,
}
