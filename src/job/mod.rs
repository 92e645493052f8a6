//! From inputs to their outputs: what is to be done, who goes next, and who owns the threads that do it.
//!
//! Prints nothing: what happens is told in [`Event`]s to whoever asked for the job.

mod adopt;
mod bench;
mod conduct;
mod convert;
mod done;
mod file;
mod frontend;
mod guard;
mod journal;
mod models;
mod output;
mod partial;
mod peaks;
mod permits;
mod plan;
mod queue;
mod rehearse;
pub mod report;
mod run;
mod voice_report;
pub mod watch;
mod work;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::bench::{Bench, BenchModel, Figures, bench};
pub use self::convert::{Conversion, check_cues, convert};
pub use self::guard::GuardOptions;
pub use self::models::ModelOptions;
pub use self::plan::{InputOptions, Item, Plan, PlanOptions, Shard, ShardRequest, Source, Template, plan};
pub use self::rehearse::{PlannedModel, Rehearsal, rehearse};
pub use self::run::{Session, Summary, run};

use crate::audio::{AudioOptions, Damage};
use crate::backend::cache::CacheStats;
use crate::backend::hub::{Download, Hub};
use crate::chunk::{Clip, Selection};
use crate::decode::{DecodeOptions, DecodedChunk, Segment};
use crate::device::{Beside, DeviceRequest};
use crate::engine::{Footprint, LanguageGuess, Stats, WindowDone};
use crate::error::Error;
use crate::export::{CueQuality, Shape};
use crate::transcript::{ModelIdentity, Quality, Transcript};

/// Everything that one call of the program is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Files, folders, patterns and lists; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub finding: InputOptions,
    /// Only this part of them.
    pub shard: Option<Shard>,
    pub plan: PlanOptions,
    /// How the outputs look; their text does not depend on it.
    pub shape: Shape,
    pub audio: AudioOptions,
    /// Of every input that does not say otherwise.
    pub settings: Arc<Settings>,
    pub device: DeviceRequest,
    /// Which devices share the work with that one.
    pub beside: Beside,
    /// Where to tell of speech and silence, a line per input.
    pub voice_report: Option<PathBuf>,
    /// From 0 to 1: of the speech of an input, so much must have text.
    pub least_coverage: Option<f64>,
    /// Seconds from pause to pause; 0 for every recording in one piece.
    pub chunk_length: f64,
    pub models: ModelOptions,
    pub guard: GuardOptions,
    /// Inputs in flight; as many as there are windows side by side if not given.
    pub jobs: Option<usize>,
    /// What an earlier run has finished is not done again.
    pub resume: bool,
}

/// What one input may want otherwise than another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model: ModelRequest,
    pub decode: DecodeOptions,
    /// Which parts of the recording.
    pub selection: Selection,
}

/// Which model, and where to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// As [`crate::backend::source::find`] takes it, or [`AUTO`].
    pub name: String,
    pub revision: Option<String>,
    pub hub: Hub,
}

impl ModelRequest {
    /// A model by its name, wherever it is found.
    pub fn named(name: &str) -> Self {
        ModelRequest { name: name.to_owned(), revision: None, hub: Hub::from_env(false) }
    }
}

impl ModelRequest {
    /// The name, or that of the model that suits the device; asked only if it matters.
    pub fn name_on(&self, has_accelerator: impl FnOnce() -> bool) -> &str {
        match self.name.as_str() {
            AUTO if has_accelerator() => "large-v3-turbo",
            AUTO => "base",
            name => name,
        }
    }
}

/// The model that suits the device.
const AUTO: &str = "auto";

/// What happens, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// One of the inputs, before anything else is done.
    Planned {
        item: &'a Item,
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
        damage: &'a Damage,
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
