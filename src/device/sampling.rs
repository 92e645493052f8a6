//! Sampling on the device: sequences advance several steps without their scores leaving it and without the host
//! waiting between two steps.
//!
//! The types here describe what the host uploads and reads back. Which tokens are allowed is decided by `decode`, which
//! also samples on the host for devices without a [`DeviceSampler`].

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::kernels::{TokenBatch, TokenRow};

/// Stands for "no token" in a field that holds a token.
pub const NO_TOKEN: u32 = u32::MAX;

/// The sampling rules that many sequences share. The kernels read the struct with this layout.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRuleParams {
    pub eot: u32,
    pub first_timestamp: u32,
    pub no_timestamps: u32,
    /// One past the last token of the vocabulary that has a meaning.
    pub vocab_end: u32,
    /// The last timestamp that may open a window, or [`NO_TOKEN`].
    pub max_initial_timestamp: u32,
    /// Whether the timestamp rules apply: 0 or 1.
    pub has_timestamps: u32,
    /// The row of the device's token masks that belongs to these rules; set on upload.
    pub mask_row: u32,
    pub padding: u32,
}

/// Mask bit: the token is never sampled.
pub const SUPPRESSED: u8 = 1;
/// Mask bit: the token is not sampled first in a window.
pub const SUPPRESSED_AT_START: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub struct TokenRules {
    pub params: TokenRuleParams,
    /// [`SUPPRESSED`] and [`SUPPRESSED_AT_START`] for each token of the vocabulary.
    pub mask: Vec<u8>,
}

/// The state of a sequence's sampling. The kernels read and update the struct with this layout.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplerState {
    /// The index of the sequence's rules on the device; set on upload.
    pub rules: u32,
    /// The number of tokens sampled so far in the window.
    pub sampled: u32,
    /// The last of them, or [`NO_TOKEN`].
    pub last: u32,
    /// The one before the last, or [`NO_TOKEN`].
    pub second_last: u32,
    /// The last timestamp among them, or [`NO_TOKEN`].
    pub last_timestamp: u32,
    /// The number of tokens that may still be sampled.
    pub remaining: u32,
    /// The number of steps since the upload.
    pub step: u32,
    pub temperature: f32,
}

/// A sequence to advance on the device.
#[derive(Debug, Clone)]
pub struct DeviceSequence {
    /// The last token, which is fed first.
    pub row: TokenRow,
    pub state: SamplerState,
    pub rules: Arc<TokenRules>,
    /// A random number in [0, 1) for each step, if the temperature is above 0.
    pub draws: Vec<f64>,
}

/// The tokens of each sequence with their log-probabilities, up to the end of text. A log-probability of NaN marks a
/// step in which no token could be sampled.
pub type SampledBatch = Vec<Vec<(u32, f32)>>;

/// Runs one decoder step for a batch and returns the scores of all of its rows. What it does must depend only on the
/// number of rows and on the content of the memory it reads: implementations record it and replay it.
pub type DecoderStep<'a> = &'a mut dyn FnMut(&TokenBatch) -> Result<Tensor>;

pub trait DeviceSampler: Debug {
    /// The number of steps of one [`sample`](Self::sample).
    fn steps(&self) -> usize;

    /// The number of rows of a step for this many sequences, idle rows included.
    fn padded_rows(&self, sequences: usize) -> usize;

    /// Samples up to [`steps`](Self::steps) tokens for each sequence, or until it ends.
    fn sample(
        &self,
        sequences: &[DeviceSequence],
        step: DecoderStep<'_>,
        sampled: &mut SampledBatch,
    ) -> Result<()>;

    /// The largest `count` that [`top_tokens`](Self::top_tokens) takes.
    fn max_candidates(&self) -> usize;

    /// Runs one step for all sequences and returns the `count` most likely next tokens of each, most likely first and
    /// the lowest token first among equals; none for a sequence in which no token can be sampled.
    fn top_tokens(
        &self,
        sequences: &[DeviceSequence],
        count: usize,
        step: DecoderStep<'_>,
        candidates: &mut SampledBatch,
    ) -> Result<()>;

    /// Drops recorded steps, because memory that they read or write has moved.
    fn discard_recordings(&self);
}
