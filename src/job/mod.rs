//! From inputs to their outputs: what is to be done, who goes next, and who owns the threads that do it.
//!
//! Prints nothing: what happens is told in [`Event`]s to whoever asked for the job.

mod adopt;
mod bench;
mod conduct;
mod convert;
mod file;
mod frontend;
mod journal;
mod output;
mod partial;
mod peaks;
mod permits;
mod plan;
mod run;
mod voice_report;
mod work;

use std::io;
use std::path::{Path, PathBuf};

pub use self::bench::{Bench, BenchModel, Figures, bench};
pub use self::convert::{Conversion, check_cues, convert};
pub use self::plan::{Item, Plan, PlanOptions, Source, plan};
pub use self::run::{Summary, run};

use crate::audio::{AudioOptions, Damage};
use crate::backend::hub::{Download, Hub};
use crate::chunk::{Clip, Selection};
use crate::decode::{DecodeOptions, Segment};
use crate::device::DeviceRequest;
use crate::engine::{Footprint, LanguageGuess, ReleasePolicy, Stats, WindowDone};
use crate::error::Error;
use crate::export::{CueQuality, Shape};
use crate::transcript::{ModelIdentity, Quality, Transcript};

/// Everything that one call of the program is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Files in the order of work; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub plan: PlanOptions,
    /// How the outputs look; their text does not depend on it.
    pub shape: Shape,
    pub audio: AudioOptions,
    pub decode: DecodeOptions,
    pub model: ModelRequest,
    pub device: DeviceRequest,
    /// Which parts of each recording.
    pub selection: Selection,
    /// Where to tell of speech and silence, a line per input.
    pub voice_report: Option<PathBuf>,
    /// From 0 to 1: of the speech of an input, so much must have text.
    pub least_coverage: Option<f64>,
    /// Seconds from pause to pause; 0 for every recording in one piece.
    pub chunk_length: f64,
    /// Windows side by side; as many as suit the device if not given.
    pub batch_size: Option<usize>,
    pub release: ReleasePolicy,
    /// Inputs in flight; as many as there are windows side by side if not given.
    pub jobs: Option<usize>,
    /// What an earlier run has finished is not done again.
    pub resume: bool,
}

/// Which model, and where to get it.
#[derive(Debug, Clone)]
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

/// The model that suits the device.
pub const AUTO: &str = "auto";

/// What happens, as it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// Everything asked for is already there.
    Skipped {
        input: &'a str,
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
        stats: Stats,
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
    /// The input is given up; the next one follows.
    Failed {
        error: &'a Error,
    },
}

/// Whether the next input would fare no better.
fn concerns_all(error: &Error) -> bool {
    match error {
        Error::Input { .. }
        | Error::LimitMissed { .. }
        | Error::Held { .. }
        | Error::Output { .. }
        | Error::Compute { .. }
        | Error::Panicked { .. }
        | Error::Closed { .. }
        | Error::Close { .. } => false,
        Error::Usage { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::OutOfMemory { .. }
        | Error::Cancelled(_) => true,
        Error::Shared(error) => concerns_all(error),
    }
}
