//! Who hears what happens: the screen, the report and the figures for a monitor.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::RecvTimeoutError;

use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::TICK;
use super::screen::Screen;
use super::stats;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::report::{Ending, MetricsWriter, ReportWriter, RunInfo, Tally};
use crate::run::{RunContext, RunEvent};

/// What is to be written of a run.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub report: Option<PathBuf>,
    pub metrics: Option<PathBuf>,
    pub info: RunInfo,
}

/// See the module.
pub struct Listeners<'a> {
    screen: Screen<'a>,
    tally: Tally,
    report: Option<ReportWriter>,
    metrics: Option<MetricsWriter>,
    cancel: &'a CancelToken,
}

impl<'a> Listeners<'a> {
    /// Begins what is to be written; what cannot be is found here.
    pub fn new(screen: Screen<'a>, wanted: &Wanted, cancel: &'a CancelToken) -> Result<Self> {
        let tally = Tally::new(|error| ExitCode::from(error) as u8);
        let report =
            wanted.report.as_deref().map(|path| ReportWriter::create(path, &wanted.info)).transpose()?;
        let version = &wanted.info.version;
        let metrics =
            wanted.metrics.as_deref().map(|path| MetricsWriter::create(path, version, &tally)).transpose()?;
        Ok(Self { screen, tally, report, metrics, cancel })
    }

    /// Does the work with everybody listening. Meanwhile time passes for them, too.
    pub fn attend<T>(&mut self, work: impl FnOnce(RunContext<'_>) -> T) -> T {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let cancel = self.cancel;
        let listeners = Mutex::new(self);
        thread::scope(|scope| {
            // Let go of here, also in a panic: the thread ends by it.
            let stop = stop;
            let tick = || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    lock(&listeners).tick();
                }
            };
            // Without it nothing moves, but nothing is lost.
            let _ = thread::Builder::new().name("progress".into()).spawn_scoped(scope, tick);
            let outcome = work(RunContext::new(cancel, &|event| lock(&listeners).record(&event)));
            drop(stop);
            outcome
        })
    }

    /// Tells how it ended, and ends what is written.
    pub fn end(mut self, outcome: &Result<(), Vec<Error>>) -> ExitCode {
        let code = self.screen.end(outcome, &self.tally);
        let errors = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
        // Which is told as what stopped it.
        let errors = if matches!(errors, [Error::Cancelled(_)]) { &[] } else { errors };
        self.close(&Ending { errors, stopped: self.cancel.reason(), exit_code: code as u8 });
        code
    }

    /// Shows nothing more, so that other things can be printed.
    pub fn clear(&mut self) {
        self.screen.clear();
    }

    fn record(&mut self, event: &RunEvent) {
        self.tally.record(event);
        self.screen.show(event, &self.tally);
        let failed = self.report.as_mut().and_then(|report| report.record(event, &self.tally));
        self.tell(failed);
    }

    /// Prints the figures that `--stats` asks for.
    pub fn print_stats(&mut self, printer: Printer) {
        self.clear();
        stats::table(&self.tally).iter().for_each(|line| printer.notice(line));
    }

    fn tick(&mut self) {
        self.screen.tick(&self.tally);
        let failed = self.metrics.as_mut().and_then(|metrics| metrics.tick(&self.tally));
        self.tell(failed);
    }

    fn close(&mut self, ending: &Ending<'_>) {
        let failed = self.report.take().and_then(|mut report| report.end(&self.tally, ending));
        self.tell(failed);
        let failed = self.metrics.take().and_then(|mut metrics| metrics.end(&self.tally, ending));
        self.tell(failed);
    }

    /// That something cannot be written is no reason not to work.
    fn tell(&mut self, failed: Option<Error>) {
        if let Some(error) = failed {
            self.screen.warning(&format!("{}; the work goes on without it", error.chain()));
        }
    }
}

impl Drop for Listeners<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.close(&Ending { errors: &[], stopped: None, exit_code: ExitCode::Bug as u8 });
        }
    }
}

/// Whoever panicked meanwhile has told so.
fn lock<'m, 'l, 'a>(listeners: &'m Mutex<&'l mut Listeners<'a>>) -> MutexGuard<'m, &'l mut Listeners<'a>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}
