//! What one call of the program is asked to do.

use std::path::{Path, PathBuf};

use super::guard::GuardOptions;
use crate::plan::PlanRequest;

/// What to transcribe, and how to go about it.
#[derive(Debug, Clone)]
pub struct RunRequest {
    pub plan: PlanRequest,
    pub guard: GuardOptions,
    /// Inputs in flight; if none, as many as there are window slots.
    pub jobs: Option<usize>,
    /// Where to write speech regions and skipped silence, one line per input.
    pub vad_report: Option<PathBuf>,
    /// The share of an input's speech, from 0 to 1, that must have text.
    pub min_coverage: Option<f64>,
    /// Which text is emitted, and in which order.
    pub text: TextEvents,
    /// Where inputs will be moved that are done, so that pages link to them there.
    pub moves: Option<DoneMove>,
}

/// Which text a run emits besides writing outputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TextEvents {
    /// That of inputs without outputs, one input after the other.
    #[default]
    Printed,
    /// That of all inputs, one after the other.
    All,
    /// That of all inputs, as it is decoded.
    AllAtOnce,
}

/// A move of inputs to another folder, below which they keep their subfolders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneMove {
    pub from: PathBuf,
    pub to: PathBuf,
}

impl DoneMove {
    /// Returns where a file will be.
    pub fn target(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.from).map_or_else(|_| path.to_owned(), |below| self.to.join(below))
    }
}

impl RunRequest {
    /// Requests a run of a plan with default options.
    pub fn new(plan: PlanRequest) -> Self {
        Self {
            plan,
            guard: GuardOptions::default(),
            jobs: None,
            vad_report: None,
            min_coverage: None,
            text: TextEvents::default(),
            moves: None,
        }
    }
}
