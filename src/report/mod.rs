//! Records a run for other programs: a JSONL report with a line per event, and metrics for a monitor.
//!
//! Consumes [`RunEvent`](crate::run::RunEvent)s and influences nothing. [`line`] defines the lines and their schema,
//! `lines` makes them of events, [`Tally`] adds events up, [`merge`](merge()) joins the reports of several runs.

mod failure;
mod line;
mod lines;
mod merge;
mod metric_sink;
mod metrics;
mod otlp;
mod prometheus;
mod tally;
mod warning;
mod writer;

pub use self::failure::{Failure, kind};
pub use self::line::schema;
pub use self::lines::RunInfo;
pub use self::merge::{InputOutcome, LoadedReport, MergedReport, merge, read};
pub use self::metric_sink::{MetricSink, Sample};
pub use self::metrics::MetricsWriter;
pub use self::otlp::OtlpMetrics;
pub use self::prometheus::PrometheusText;
pub use self::tally::{Counts, Tally};
pub use self::warning::{RunWarning, warnings};
pub use self::writer::ReportWriter;

use crate::cancel::CancelReason;
use crate::error::Error;

/// The version of the report format: raised when a field is removed or changes its meaning.
pub const VERSION: u64 = 1;

/// Maps an error to the exit code it ends the program with.
pub type CodeOf = fn(&Error) -> u8;

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// Errors that concerned every input.
    pub errors: &'a [Error],
    pub stopped: Option<CancelReason>,
    pub exit_code: u8,
}

/// Returns the current time in the form of every line.
fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Rounds to as many digits as a person or a program needs.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

/// Returns seconds of audio per second of work; none if either is zero.
pub fn speed(audio_seconds: f64, seconds: f64) -> Option<f64> {
    (audio_seconds > 0.0 && seconds > 0.0).then(|| rounded(audio_seconds / seconds))
}

/// Returns the name of a reason in reports and metrics.
fn stop_name(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::OutputClosed => "output_closed",
        CancelReason::Interrupt => "interrupt",
        CancelReason::Terminate => "terminate",
    }
}
