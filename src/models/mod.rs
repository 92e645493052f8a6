//! Loaded models: what the engine may ask of one, and how they are found and made.

pub mod ahead;
pub mod cache;
pub mod candle;
pub mod checkpoint;
mod demo;
pub mod describe;
mod estimate;
pub mod hub;
pub mod lifecycle;
mod load;
mod needs;
mod options;
#[cfg(feature = "testing")]
pub mod scripted;
mod slots;
pub mod source;

pub use ahead::{AheadInput, Chosen};
use candle::encodes_together;
pub use demo::DEMO;
pub use estimate::{Estimate, estimate};
pub use load::{Model, Room, load, load_random};
pub use needs::Needs;
pub use options::ModelOptions;
pub use slots::Slots;

use std::ops::Range;

use crate::decode::Alignment;
use crate::device::memory::{Memory, Released};
use crate::error::Result;

/// What the engine must know of a loaded model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    pub n_mels: usize,
    pub n_audio_ctx: usize,
    pub n_text_ctx: usize,
    pub n_vocab: usize,
}

/// How many windows and sequences a backend keeps at once; fixed when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    pub windows: usize,
    pub sequences: usize,
}

/// One window of audio to encode into a window slot.
#[derive(Debug, Clone, Copy)]
pub struct WindowInput<'a> {
    pub slot: usize,
    /// `n_mels` rows of `WINDOW_FRAMES` normalised log-mel values, one bin after the other.
    pub mel: &'a [f32],
}

/// Tokens to feed to one sequence.
#[derive(Debug, Clone, Copy)]
pub struct RowInput<'a> {
    /// Sequence slot: owns the self-attention cache, whose first `position` entries are valid.
    pub sequence: usize,
    /// Window slot: whose audio it listens to.
    pub window: usize,
    /// Where in the text the first of `tokens` stands.
    pub position: usize,
    pub tokens: &'a [u32],
    /// Indexes into `tokens`, ascending: after which of them logits are wanted.
    pub logits_after: &'a [usize],
}

/// The text of a window, to be fed from its beginning and found in the audio.
#[derive(Debug, Clone)]
pub struct AlignInput<'a> {
    /// Sequence slot, whose content is lost.
    pub sequence: usize,
    /// Window slot: whose audio it listens to.
    pub window: usize,
    /// At least one before the text and one behind it.
    pub tokens: &'a [u32],
    /// Which of `tokens` are the text; at least one.
    pub text: Range<usize>,
    /// Ticks of the window that hold audio, at least one.
    pub ticks: usize,
    /// Ids below this are text.
    pub n_text: usize,
}

/// A model on a device. One thread uses it at a time.
pub trait Backend: Send {
    fn spec(&self) -> &ModelSpec;

    fn capacity(&self) -> Capacity;

    /// How many windows are best encoded at a time.
    fn encodes_together(&self) -> usize;

    /// Encodes windows and keeps what the decoder needs of them in their slots. It may have only begun when this returns,
    /// and go on beside other work: see [`has_encoded`](Self::has_encoded).
    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()>;

    /// Whether the windows that came last are encoded, and may be listened to; waits for that if told so.
    fn has_encoded(&mut self, waits: bool) -> Result<bool> {
        let _ = waits;
        Ok(true)
    }

    /// Feeds tokens to every row. `logits` is overwritten: one row of `n_vocab` f32 for every
    /// wanted position, row after row, in the order of the input.
    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()>;

    /// How many steps at a time sequences can go on without their scores being looked at; 0 if they cannot.
    fn steps_ahead(&self) -> usize {
        0
    }

    /// Lets sequences go on by themselves until they end, for [`steps_ahead`](Self::steps_ahead) steps at most. `chosen`
    /// is overwritten: at least one token for each.
    fn go_ahead(&mut self, inputs: &[AheadInput<'_>], chosen: &mut Vec<Chosen>) -> Result<()> {
        let steps = self.steps_ahead().max(1);
        ahead::by_scores(inputs, steps, &mut |rows, logits| self.decode(rows, logits), chosen)
    }

    /// Of how many of the likeliest tokens it can tell without giving all scores; 0 if it cannot.
    fn ranks(&self) -> usize {
        0
    }

    /// Feeds every sequence its token. `ranked` is overwritten: `count` of the likeliest tokens that may follow each, the
    /// likeliest first and of equals the lowest; none where the scores are not numbers.
    fn rank(&mut self, inputs: &[AheadInput<'_>], count: usize, ranked: &mut Vec<Chosen>) -> Result<()> {
        ahead::ranked_by_scores(inputs, count, &mut |rows, logits| self.decode(rows, logits), ranked)
    }

    /// Finds texts in their windows; `found` is overwritten, one for each input.
    fn align(&mut self, inputs: &[AlignInput<'_>], found: &mut Vec<Alignment>) -> Result<()>;

    /// Gives back what was freed but is kept for later use.
    fn release(&mut self) -> Result<Released> {
        Ok(Released::default())
    }

    /// Gives back everything, to the last byte that can be given back.
    fn close(self: Box<Self>) -> Result<()>;

    /// What is held and left, where that can be known.
    fn memory(&self) -> Option<Memory> {
        None
    }

    /// Makes do with so many windows and sequences, at most as many as it had. What is in their slots is lost.
    fn shrink(&mut self, capacity: Capacity) -> Result<()>;

    /// Copies these positions of sequence `from` to sequence `to`.
    fn copy_sequence(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()>;
}
