//! From inputs to their outputs: what is to be done, who goes next, and who owns the threads that do it.
//!
//! Prints nothing: what happens is told in [`Event`]s to whoever asked for the job.

pub mod frontend;
mod plan;
mod run;

use std::path::{Path, PathBuf};

pub use self::plan::{Item, Plan, PlanOptions, Source, plan};
pub use self::run::{Summary, run};

use crate::audio::{AudioOptions, Damage};
use crate::backend::hub::{Download, Hub};
use crate::decode::{DecodeOptions, Segment};
use crate::device::DeviceRequest;
use crate::engine::{LanguageGuess, WindowDone};
use crate::error::Error;
use crate::transcript::{ModelIdentity, Transcript};

/// Everything that one call of the program is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Files in the order of work; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub plan: PlanOptions,
    pub audio: AudioOptions,
    pub decode: DecodeOptions,
    pub model: ModelRequest,
    pub device: DeviceRequest,
}

/// Which model, and where to get it.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// As [`crate::backend::source::find`] takes it, or [`AUTO`].
    pub name: String,
    pub revision: Option<String>,
    pub hub: Hub,
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
    /// Seconds of audio read in the first pass; the length is what the file claims.
    Measured {
        input: &'a str,
        seconds: f64,
        claimed: Option<f64>,
    },
    /// It was read once; now it is understood.
    Listening {
        input: &'a str,
        total: f64,
    },
    Language {
        input: &'a str,
        guess: &'a LanguageGuess,
    },
    /// New text, in the order of time.
    Segments(&'a [Segment]),
    Window {
        input: &'a str,
        seconds: f64,
        total: f64,
        window: WindowDone,
    },
    /// Some of the input could not be heard.
    Damaged {
        input: &'a str,
        damage: &'a Damage,
    },
    Written {
        path: &'a Path,
    },
    Finished {
        input: &'a str,
        transcript: &'a Transcript,
        seconds: f64,
    },
    /// The input is given up; the next one follows.
    Failed {
        error: &'a Error,
    },
}
