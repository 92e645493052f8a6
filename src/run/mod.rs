//! From inputs to their outputs: what is to be done, who goes next, and who owns the threads that do it.
//!
//! Prints nothing: what happens is told in [`Event`]s to whoever asked for the job.

mod active_input;
mod backpressure;
mod bench;
mod convert;
mod front_end;
mod guard;
mod models;
mod output;
mod partial;
mod queue;
mod scheduler;
mod session;
mod vad_report;
mod waveform;

use std::io;
use std::path::Path;

pub use self::bench::{Bench, BenchModel, Figures, bench};
pub use self::convert::{Conversion, check_cues, convert};
pub use self::guard::GuardOptions;
pub use self::models::ModelOptions;
pub use self::session::{Known, Session, Summary, run};

use crate::audio::AudioDamage;
use crate::chunking::Clip;
use crate::decode::DecodedChunk;
use crate::decode::LanguageGuess;
use crate::engine::{Footprint, Stats, WindowDone};
use crate::error::Error;
use crate::export::CueQuality;
use crate::models::cache::CacheStats;
use crate::models::hub::Download;
use crate::plan::PlannedInput;
use crate::transcript::{ModelIdentity, Quality, Segment, Transcript};

/// What happens, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// One of the inputs, before anything else is done.
    Planned {
        item: &'a PlannedInput,
    },
    /// Everything asked for is already there.
    Skipped {
        input: &'a str,
        why: &'a str,
    },
    /// Another process does it; it is looked at again later.
    Left {
        input: &'a str,
        why: &'a str,
    },
    /// What a person should know of an input before it is begun.
    Noted {
        input: &'a str,
        text: &'a str,
    },
    Download(Download<'a>),
    Loading {
        model: &'a str,
        device: &'a str,
    },
    Loaded {
        identity: &'a ModelIdentity,
        device: &'a str,
        seconds: f64,
    },
    /// The program chose the processor, although it was built for more.
    PassedOver {
        why: &'a str,
    },
    /// There was no room for the model there.
    Moved {
        model: &'a str,
        from: &'a str,
        to: &'a str,
    },
    /// A model that is no longer needed could not be closed.
    NotClosed {
        why: &'a str,
    },
    /// The input is not started yet, for want of memory or disk.
    Waiting {
        input: &'a str,
        why: &'a str,
    },
    /// What became of all loaded models, at the end.
    Cache(CacheStats),
    /// Nothing of it is held any more.
    Unloaded {
        identity: &'a ModelIdentity,
        device: &'a str,
    },
    /// Input `number` of `count`, from 1.
    Started {
        input: &'a str,
        number: usize,
        count: usize,
    },
    Language {
        input: &'a str,
        guess: &'a LanguageGuess,
    },
    /// New text, in the order of inputs and of time.
    Segments(&'a [Segment]),
    Window {
        input: &'a str,
        window: WindowDone,
    },
    /// Seconds of audio of all inputs that were begun: done, and known to be there so far.
    Progress {
        /// The one that went forward.
        input: &'a str,
        in_flight: usize,
        done: f64,
        known: f64,
        /// The same, of this input alone.
        input_done: f64,
        input_known: f64,
        stats: Stats,
    },
    /// From `start` to `end`, in seconds, the input needs no more work.
    ChunkDone {
        input: &'a str,
        chunk: usize,
        start: f64,
        end: f64,
        /// An earlier run has done it.
        is_kept: bool,
        decoded: &'a DecodedChunk,
    },
    /// A chunk of the input is finished, and this is held.
    Released {
        input: &'a str,
        chunk: usize,
        footprint: Footprint,
    },
    /// Memory was short: so many windows at a time from now on.
    SlotsReduced {
        slots: usize,
    },
    /// Of the input, chunks that an earlier run has finished are taken over.
    Resumed {
        input: &'a str,
    },
    /// What an earlier run has left of the input is wrong from some place on, or all of it.
    Renewed {
        input: &'a str,
        why: &'a str,
        /// Some of it is still good.
        kept: bool,
    },
    /// What is finished cannot be kept for another run; told once.
    NotKept {
        input: &'a str,
        error: &'a io::Error,
    },
    /// Somebody asked to stop; of so many inputs something is kept, or all.
    Stopped {
        kept: usize,
    },
    /// Some of the input could not be heard.
    Damaged {
        input: &'a str,
        damage: &'a AudioDamage,
    },
    /// The input is shorter than what was asked for: in these clips there is nothing.
    Missed {
        input: &'a str,
        clips: &'a [Clip],
        duration: f64,
    },
    Written {
        input: &'a str,
        path: &'a Path,
    },
    /// The page could not take in its recording.
    NotEmbedded {
        page: &'a Path,
        why: &'a str,
    },
    Finished {
        input: &'a str,
        transcript: &'a Transcript,
        quality: &'a Quality,
        /// Of the subtitles that are or would be made of it.
        cues: &'a CueQuality,
        seconds: f64,
    },
    /// The input is given up, or missed a limit; the next one follows.
    Failed {
        input: &'a str,
        error: &'a Error,
    },
}

/// Whether the next input would fare no better.
fn concerns_all(error: &Error) -> bool {
    match error {
        Error::Input { .. }
        | Error::QualityGate { .. }
        | Error::InputLocked { .. }
        | Error::InsufficientResources { .. }
        | Error::Output { .. }
        | Error::Compute { .. }
        | Error::Panicked { .. }
        | Error::BackendClosed { .. }
        | Error::CloseFailed { .. } => false,
        Error::Usage { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::OutOfMemory { .. }
        | Error::Cancelled(_) => true,
        Error::Shared(error) => concerns_all(error),
    }
}
