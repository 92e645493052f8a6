//! What a run leaves in writing for programs: a line per event, and figures for a monitor. Only listens; nothing of
//! it changes what is written down of the recordings. The lines are described in `schema.json` beside this.

mod fault;
mod lines;
mod merge;
mod metrics;
mod tally;
mod warning;
mod writer;

pub use self::fault::{Failure, kind};
pub use self::lines::RunInfo;
pub use self::merge::{Fate, Merged, Part, merge, read};
pub use self::metrics::Metrics;
pub use self::tally::{Counts, Tally};
pub use self::warning::{Warning, warning};
pub use self::writer::Report;

use crate::cancel::CancelReason;
use crate::error::Error;

/// The lines of a report, as JSON Schema.
pub const SCHEMA: &str = include_str!("schema.json");

/// Changes when a field changes its meaning or goes; new ones may come at any time.
pub const VERSION: u64 = 1;

/// Which exit code an error ends with; decided elsewhere.
pub type CodeOf = fn(&Error) -> u8;

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// What concerned all inputs.
    pub errors: &'a [Error],
    pub stopped: Option<CancelReason>,
    pub exit_code: u8,
}

/// The moment, as every line says it.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Enough digits for a person and a machine.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Seconds of audio per second of work; none if either is missing.
pub fn speed(audio_seconds: f64, seconds: f64) -> Option<f64> {
    (audio_seconds > 0.0 && seconds > 0.0).then(|| rounded(audio_seconds / seconds))
}

/// As reports name it.
fn stop_name(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::OutputClosed => "output_closed",
        CancelReason::Interrupt => "interrupt",
        CancelReason::Terminate => "terminate",
    }
}
