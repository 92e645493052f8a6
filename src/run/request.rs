//! What one call of the program is asked to do.

use std::path::PathBuf;

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
}

impl RunRequest {
    /// Requests a run of a plan with default options.
    pub fn new(plan: PlanRequest) -> Self {
        Self { plan, guard: GuardOptions::default(), jobs: None, vad_report: None, min_coverage: None }
    }
}
