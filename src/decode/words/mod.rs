//! When each word is said: openai/whisper's times, from how strongly the network listened to each moment of a
//! window while it was fed the window's text once more. Pure arithmetic; who runs the network is the engine's.

pub mod attention;
pub mod dtw;
mod hallucination;
mod segments;
mod split;
mod timing;
mod window;

use std::ops::Range;

pub use attention::Attention;
pub(super) use split::is_written_without_blanks;
pub(super) use window::{Window, WordRules};

use crate::time::FRAMES_PER_TICK;

/// The text of a window, to be fed again so that its words can be found in the audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignRequest {
    pub seek: usize,
    /// Mel frames from `seek` that hold audio.
    pub frames: usize,
    /// What starts the transcript, no timestamps, the text, the end of text.
    pub tokens: Vec<u32>,
    /// Which of them are the text.
    pub text: Range<usize>,
}

impl AlignRequest {
    /// Moments to look at, each as long as a timestamp's tick.
    pub fn ticks(&self) -> usize {
        (self.frames / FRAMES_PER_TICK).max(1)
    }
}

/// What the network made of the text of a window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alignment {
    pub ticks: usize,
    /// How strongly it listened to each tick before it was to say each token of the text, and before it was to end:
    /// row after row. See [`Attention`].
    pub attention: Vec<f32>,
    /// How likely it held each token of the text to be, among all tokens of text.
    pub probabilities: Vec<f32>,
}

/// Python's `round(x, 2)` of NumPy's numbers.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round_ties_even() / 100.0
}
