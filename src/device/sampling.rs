//! Sequences that choose their own tokens where the scores are, for several steps, so that neither scores nor the
//! host's waiting stand between two steps.

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::kernels::{Row, Rows};

/// In the place of a token: none.
pub const NONE: u32 = u32::MAX;

/// Which tokens may come next, the same for many sequences. The kernels read the first part as it lies here.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleSet {
    pub eot: u32,
    /// The first timestamp.
    pub begin: u32,
    pub no_timestamps: u32,
    /// One past the last token that means something.
    pub end: u32,
    /// The last timestamp that may open a window, or [`NONE`].
    pub last_initial: u32,
    /// Not 0 if the rules of timestamps hold.
    pub timestamps: u32,
    /// Which row of masks is theirs; filled in when they come to the device.
    pub mask: u32,
    pub unused: u32,
}

/// In a mask: the token must not be chosen at all.
pub const NEVER: u8 = 1;
/// In a mask: the token must not be the first one.
pub const NOT_FIRST: u8 = 2;

#[derive(Debug, PartialEq, Eq)]
pub struct TokenRules {
    pub set: RuleSet,
    /// [`NEVER`] and [`NOT_FIRST`] of each token of the vocabulary.
    pub mask: Vec<u8>,
}

/// How far a sequence is. The kernels read it as it lies here.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Index of its rules; filled in when they come to the device.
    pub rules: u32,
    /// Tokens chosen so far in its window.
    pub sampled: u32,
    /// The last of them and the one before it, or [`NONE`].
    pub last: u32,
    pub before: u32,
    /// The last timestamp among them, or [`NONE`].
    pub last_stamp: u32,
    /// How many more it may choose.
    pub left: u32,
    /// Steps since it came to the device.
    pub step: u32,
    pub temperature: f32,
}

/// A sequence that is to go on.
#[derive(Debug, Clone)]
pub struct Going {
    /// Its last token, which is to be fed first.
    pub row: Row,
    pub choice: Choice,
    pub rules: Arc<TokenRules>,
    /// A number of [0, 1) for each step, where the temperature is above 0.
    pub draws: Vec<f64>,
}

/// The tokens of each sequence, with their log-probabilities: up to the end of text, and NaN where nothing could be
/// chosen.
pub type Chosen = Vec<Vec<(u32, f32)>>;

pub trait Ahead: Debug {
    /// How many steps at a time.
    fn steps(&self) -> usize;

    /// How many rows a step of so many sequences may have: some of them idle.
    fn rows_for(&self, sequences: usize) -> usize;

    /// Lets sequences go on until they end, at most so many steps. `step` feeds the rows to the decoder and gives the scores
    /// of all of them; what it does must depend on nothing but the number of rows and their content.
    fn run(
        &self,
        going: &[Going],
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
        chosen: &mut Chosen,
    ) -> Result<()>;

    /// Of how many of the likeliest tokens it can tell.
    fn ranks(&self) -> usize;

    /// One step for all sequences, and so many of the likeliest tokens that may follow each, the likeliest first and of
    /// equals the lowest; none where nothing can be chosen. As for `step`, see [`run`](Self::run).
    fn rank(
        &self,
        going: &[Going],
        count: usize,
        step: &mut dyn FnMut(&Rows) -> Result<Tensor>,
        ranked: &mut Chosen,
    ) -> Result<()>;

    /// Memory that `step` works in has moved.
    fn forget(&self);
}
