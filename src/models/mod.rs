//! Models: from a name to a checkpoint to a backend, the interface that the engine drives, and the pool that shares
//! loaded models.
//!
//! Leaves the network itself to `whisper`, and the choice of tokens, words and segments to `decode` and `engine`.

pub mod candle;
pub mod checkpoint;
mod demo;
pub mod describe;
pub mod device_sampling;
pub mod elsewhere;
mod estimate;
pub mod formats;
pub mod hub;
mod load;
mod local;
mod options;
pub mod pool;
#[cfg(feature = "testing")]
pub mod scripted;
mod slots;
pub mod source;

pub use demo::DEMO;
pub use device_sampling::{SampledTokens, SamplingInput};
pub use estimate::{ModelEstimate, ModelMemory, estimate};
pub use load::{LoadLimits, LoadedModel, load, load_random};
pub use options::ModelOptions;
pub use slots::SlotRequest;

use std::ops::Range;

use crate::decode::Alignment;
use crate::device::memory::{MemoryStats, ReleasedMemory};
use crate::error::Result;

/// Dimensions of a loaded model.
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

/// A window of audio to encode into a window slot.
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
    /// Window slot that the cross-attention reads.
    pub window: usize,
    /// Position in the text of the first of `tokens`.
    pub position: usize,
    pub tokens: &'a [u32],
    /// Indexes into `tokens`, ascending, after which logits are wanted.
    pub logits_after: &'a [usize],
}

/// The text of a window, to be fed from its beginning and aligned with the audio.
#[derive(Debug, Clone)]
pub struct AlignInput<'a> {
    /// Sequence slot, whose content is lost.
    pub sequence: usize,
    /// Window slot that the cross-attention reads.
    pub window: usize,
    /// At least one token before the text and one after it.
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

    /// Returns how many windows are best encoded at a time.
    fn encoder_batch(&self) -> usize;

    /// Encodes windows and keeps in their slots what the decoder needs of them. It may only begin the work and return
    /// while the device continues: see [`poll_encoded`](Self::poll_encoded).
    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()>;

    /// Returns whether the windows of the last [`encode`](Self::encode) are encoded and may be read; blocks until they
    /// are if `wait` is set.
    fn poll_encoded(&mut self, wait: bool) -> Result<bool> {
        let _ = wait;
        Ok(true)
    }

    /// Feeds tokens to every row. Overwrites `logits` with one row of `n_vocab` f32 for every wanted position, in the
    /// order of the input.
    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()>;

    /// Returns how many steps of device sampling run at a time; 0 if the backend has none.
    fn sampling_steps(&self) -> usize {
        0
    }

    /// Lets sequences choose their own tokens until they end, for [`sampling_steps`](Self::sampling_steps) steps at most.
    /// Overwrites `sampled` with at least one token for each.
    fn sample(&mut self, inputs: &[SamplingInput<'_>], sampled: &mut Vec<SampledTokens>) -> Result<()> {
        let steps = self.sampling_steps().max(1);
        device_sampling::sample_on_host(inputs, steps, &mut |rows, logits| self.decode(rows, logits), sampled)
    }

    /// Returns how many of the likeliest tokens [`rank`](Self::rank) can return; 0 if the backend cannot rank.
    fn max_ranked(&self) -> usize {
        0
    }

    /// Feeds every sequence its token. Overwrites `ranked` with the `count` likeliest tokens that may follow each, the
    /// likeliest first and of equals the lowest; with none where the logits are not numbers.
    fn rank(
        &mut self,
        inputs: &[SamplingInput<'_>],
        count: usize,
        ranked: &mut Vec<SampledTokens>,
    ) -> Result<()> {
        device_sampling::rank_on_host(inputs, count, &mut |rows, logits| self.decode(rows, logits), ranked)
    }

    /// Aligns texts with their windows. Overwrites `found` with one alignment for each input.
    fn align(&mut self, inputs: &[AlignInput<'_>], found: &mut Vec<Alignment>) -> Result<()>;

    /// Gives back memory that was freed but is cached.
    fn release(&mut self) -> Result<ReleasedMemory> {
        Ok(ReleasedMemory::default())
    }

    /// Gives back all memory.
    fn close(self: Box<Self>) -> Result<()>;

    /// Returns the memory that is held and left, where that can be known.
    fn memory(&self) -> Option<MemoryStats> {
        None
    }

    /// Reduces the slots, at most to as many as there are. Their content is lost.
    fn shrink(&mut self, capacity: Capacity) -> Result<()>;

    /// Copies these positions of sequence `from` to sequence `to`.
    fn copy_sequence(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()>;
}
