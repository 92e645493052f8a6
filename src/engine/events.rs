//! What an engine reports of the chunks of an input.

use crate::decode::{DecodedChunk, LanguageGuess};
use crate::device::memory::{MemoryStats, ReleasedMemory};
use crate::error::Error;
use crate::transcript::{RejectedAttempt, Segment};

/// An event of one chunk of an input.
#[derive(Debug)]
pub enum ChunkEvent {
    LanguageDetected(LanguageGuess),
    /// New segments, in the order of time within the chunk.
    Segments(Vec<Segment>),
    WindowDone(WindowDone),
    ChunkDone(DecodedChunk),
    /// The chunk's tensors are dropped, and what the device cached of them was given back if that was due.
    Released(Footprint),
    /// Memory was short: from now on this many windows are decoded at a time, for all inputs.
    SlotsReduced {
        slots: usize,
    },
    /// No other event of the input follows.
    Failed(Error),
}

/// A window that needs no further attempt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WindowDone {
    pub seek: usize,
    /// Frames by which the chunk advanced.
    pub frames: usize,
    /// Temperatures tried after the first.
    pub fallbacks: usize,
    /// The temperature whose result was taken.
    pub temperature: f64,
    /// The other attempts, and why they were rejected.
    pub rejected: Vec<RejectedAttempt>,
    pub is_silence: bool,
}

/// The memory held after a chunk, and what the chunk took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    pub memory: MemoryStats,
    /// None if giving memory back was not due.
    pub released: Option<ReleasedMemory>,
    /// From taking a slot to the last segment.
    pub seconds: f64,
}
