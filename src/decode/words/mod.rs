//! Word times as in openai/whisper, from the cross-attention of each token of a window's text to each tick of its audio.
//!
//! Pure arithmetic; feeding the text to the network once more is left to the engine.

pub mod attention;
pub mod dtw;
mod hallucination;
mod segments;
pub(super) mod snap;
mod split;
mod timing;
mod window;

use std::ops::Range;

pub use attention::Attention;
pub(super) use window::{TimedWindow, WordRules};

use crate::time::FRAMES_PER_TICK;

/// The text of a window, to be aligned with its audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlignRequest {
    pub seek: usize,
    /// Mel frames from `seek` that hold audio.
    pub frames: usize,
    /// The start-of-transcript sequence, the no-timestamps token, the text and the end of text.
    pub tokens: Vec<u32>,
    /// Which of them are the text.
    pub text: Range<usize>,
}

impl AlignRequest {
    /// Returns the ticks of the window that hold audio.
    pub fn ticks(&self) -> usize {
        (self.frames / FRAMES_PER_TICK).max(1)
    }
}

/// The network's alignment of a window's text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alignment {
    pub ticks: usize,
    /// Attention to each tick before each token of the text and before the end of text, row after row. See
    /// [`Attention`].
    pub attention: Vec<f32>,
    /// The probability of each token of the text among all text tokens.
    pub probabilities: Vec<f32>,
}

/// Rounds as NumPy's `round(x, 2)`.
fn hundredths(seconds: f64) -> f64 {
    (seconds * 100.0).round_ties_even() / 100.0
}
