//! What the engine is asked to decode, and what comes of it.

use super::beam::BeamWidth;

/// One attempt at one window.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRequest {
    pub seek: usize,
    /// Mel frames from `seek` that hold audio, at most a whole window.
    pub frames: usize,
    /// Prompt, start-of-transcript sequence and prefix.
    pub initial_tokens: Vec<u32>,
    /// Index among them of the start-of-transcript token; the probability of silence is read there.
    pub sot_index: usize,
    /// Length of the prefix: the last of them, with which the text must begin.
    pub prefix: usize,
    pub temperature: f64,
    /// Counts the temperatures tried at this window.
    pub attempt: usize,
    pub search: SearchStrategy,
}

impl WindowRequest {
    /// Returns the initial tokens, and the index at which the text begins.
    pub fn begin(&self) -> (&[u32], usize) {
        (&self.initial_tokens, self.initial_tokens.len() - self.prefix)
    }
}

/// How to search for the text of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchStrategy {
    /// This many independent sequences, of which the best is taken.
    Samples(usize),
    Beams(BeamWidth),
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowOutcome {
    /// It was rejected: the next request is for the same window.
    Retry,
    /// The window counts as silence.
    Silence,
    /// It was audio before the chunk, heard for the sake of the prompt: nothing is written.
    Heard,
    /// Its text is settled and its words need times: see
    /// [`ChunkDecoder::alignment`](super::ChunkDecoder::alignment).
    Aligning,
    /// This many segments were added.
    Segments(usize),
}
