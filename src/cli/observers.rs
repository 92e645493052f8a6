//! The observers of a run: the terminal output, the report and the metrics file.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::RecvTimeoutError;

use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::TICK;
use super::run_output::RunOutput;
use super::stats;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::report::{Ending, MetricsWriter, ReportWriter, RunInfo, Tally};
use crate::run::{RunContext, RunEvent};

/// The files that are written about a run.
#[derive(Debug, Clone, Default)]
pub struct ReportFiles {
    pub report: Option<PathBuf>,
    pub metrics: Option<PathBuf>,
    pub info: RunInfo,
}

/// Passes the events of a run to everything that shows or records them.
pub struct Observers<'a> {
    output: RunOutput<'a>,
    tally: Tally,
    report: Option<ReportWriter>,
    metrics: Option<MetricsWriter>,
    cancel: &'a CancelToken,
}

impl<'a> Observers<'a> {
    /// Creates the files; a file that cannot be written is an error here, before the work starts.
    pub fn new(output: RunOutput<'a>, files: &ReportFiles, cancel: &'a CancelToken) -> Result<Self> {
        let tally = Tally::new(|error| ExitCode::from(error) as u8);
        let report =
            files.report.as_deref().map(|path| ReportWriter::create(path, &files.info)).transpose()?;
        let version = &files.info.version;
        let metrics =
            files.metrics.as_deref().map(|path| MetricsWriter::create(path, version, &tally)).transpose()?;
        Ok(Self { output, tally, report, metrics, cancel })
    }

    /// Runs `work` and passes its events on; meanwhile a thread refreshes the display and the metrics.
    pub fn observe<T>(&mut self, work: impl FnOnce(RunContext<'_>) -> T) -> T {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let cancel = self.cancel;
        let observers = Mutex::new(self);
        thread::scope(|scope| {
            // Dropped at the end, also in a panic, which stops the thread.
            let stop = stop;
            let tick = || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    lock(&observers).tick();
                }
            };
            // Without the thread, displays are not refreshed, but no event is lost.
            let _ = thread::Builder::new().name("progress".into()).spawn_scoped(scope, tick);
            let outcome = work(RunContext::new(cancel, &|event| lock(&observers).record(&event)));
            drop(stop);
            outcome
        })
    }

    /// Prints how the run ended, completes the files and returns the exit code.
    pub fn finish(mut self, outcome: &Result<(), Vec<Error>>) -> ExitCode {
        let code = self.output.finish(outcome, &self.tally);
        let errors = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
        // A cancellation is recorded as what stopped the run.
        let errors = if matches!(errors, [Error::Cancelled(_)]) { &[] } else { errors };
        self.close(&Ending { errors, stopped: self.cancel.reason(), exit_code: code as u8 });
        code
    }

    /// Removes the progress display, so that other text can be printed.
    pub fn clear(&mut self) {
        self.output.clear();
    }

    fn record(&mut self, event: &RunEvent) {
        self.tally.record(event);
        self.output.show(event, &self.tally);
        let failed = self.report.as_mut().and_then(|report| report.record(event, &self.tally));
        self.warn(failed);
    }

    /// Prints the figures that `--stats` asks for.
    pub fn print_stats(&mut self, printer: Printer) {
        self.clear();
        stats::table(&self.tally).iter().for_each(|line| printer.notice(line));
    }

    fn tick(&mut self) {
        self.output.tick(&self.tally);
        let failed = self.metrics.as_mut().and_then(|metrics| metrics.tick(&self.tally));
        self.warn(failed);
    }

    fn close(&mut self, ending: &Ending<'_>) {
        let failed = self.report.take().and_then(|mut report| report.end(&self.tally, ending));
        self.warn(failed);
        let failed = self.metrics.take().and_then(|mut metrics| metrics.end(&self.tally, ending));
        self.warn(failed);
    }

    /// Warns that a file cannot be written, which does not stop the run.
    fn warn(&mut self, error: Option<Error>) {
        if let Some(error) = error {
            self.output.warning(&format!("{}; the run continues without it", error.chain()));
        }
    }
}

impl Drop for Observers<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.close(&Ending { errors: &[], stopped: None, exit_code: ExitCode::Bug as u8 });
        }
    }
}

/// Ignores poisoning: the panic hook has reported the panic.
fn lock<'m, 'l, 'a>(observers: &'m Mutex<&'l mut Observers<'a>>) -> MutexGuard<'m, &'l mut Observers<'a>> {
    observers.lock().unwrap_or_else(PoisonError::into_inner)
}
