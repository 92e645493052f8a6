//! The person: arguments, progress, messages, signals, exit codes.
//!
//! Nothing but this room prints or ends the program; what happens comes as events of the job.

mod alignment;
mod amounts;
mod args;
mod bench;
mod completions;
mod config;
mod doctor;
mod exit;
mod export;
mod interrupt;
mod mistake;
mod models;
mod printer;
mod progress;
mod score;
mod stats;

pub use self::args::Args;
pub use self::exit::ExitCode;
pub use self::interrupt::Interrupt;

use self::args::Command;
use self::bench::BenchArgs;
use self::config::Refusal;
use self::export::ExportArgs;
use self::printer::{Printer, Talk};
use self::progress::{Progress, length};
use crate::audio::panics_are_caught;
use crate::cancel::{CancelReason, CancelToken};
use crate::chunk::Clip;
use crate::error::{Error, panic_text};
use crate::job::{self, Event, Summary};
use crate::time::seconds_of_frames;

/// What the command line asks for, or how to end at once: help and mistakes are told here.
pub fn start() -> Result<(Args, Interrupt), ExitCode> {
    std::panic::set_hook(Box::new(|panic| {
        // What the reader of a damaged file catches counts as damage.
        if panics_are_caught() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        printer::bug(panic_text(panic.payload()), &place);
    }));
    let args = Args::read().map_err(|refusal| match refusal {
        Refusal::CommandLine(told) => {
            // Help into a closed pipe is no failure.
            let _ = told.print();
            if told.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
        }
        Refusal::Told(errors) => {
            errors.iter().for_each(|error| Printer::new(Talk::Normal).error(error));
            ExitCode::Usage
        }
    })?;
    let interrupt = Interrupt::listen().map_err(|error| {
        Printer::new(Talk::Normal).error(&error);
        ExitCode::Bug
    })?;
    Ok((args, interrupt))
}

/// Does what was asked for and says how it ended.
pub fn run(args: &Args, cancel: &CancelToken) -> ExitCode {
    let talk = match (args.quiet(), args.verbose()) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    let printer = Printer::new(talk);
    if let Some(listing) = args.listing() {
        return told(printer, listing);
    }
    match &args.command {
        None => run_job(args, printer, cancel),
        Some(Command::Bench(bench)) => run_bench(bench, printer, cancel),
        Some(Command::Export(export)) => run_export(args, export, printer, cancel),
        Some(Command::Completions(shell)) => told(printer, &completions::script(shell, Args::described())),
        Some(Command::Man(man)) => match completions::manual(man, Args::described()) {
            Ok(page) => page.map_or(ExitCode::Done, |page| told(printer, &page)),
            Err(error) => failed(printer, &error),
        },
        Some(Command::Doctor(doctor)) => doctor::run(doctor, args.config_report(), printer, cancel),
        Some(Command::Models(models)) => models::run(models, printer, cancel),
        Some(Command::Score(score)) => score::run(score, printer, cancel),
    }
}

fn run_job(args: &Args, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let job = match args.job().and_then(|job| use_threads(args.threads()).map(|()| job)) {
        Ok(job) => job,
        Err(error) => return failed(printer, &error),
    };
    let mut screen = Screen::new(printer, job.plan.formats.is_empty(), cancel);
    let outcome = job::run(&job, cancel, &mut |event| screen.show(&event));
    if let (Ok(summary), true) = (&outcome, args.stats()) {
        screen.progress.clear();
        stats::table(summary).iter().for_each(|line| printer.notice(line));
    }
    screen.end(outcome)
}

fn run_export(all: &Args, args: &ExportArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let printer = if args.quiet { Printer::new(Talk::Quiet) } else { printer };
    if args.check {
        return export::check(args, printer)
            .map_or_else(|error| failed(printer, &error), |()| ExitCode::Done);
    }
    let conversion = match args.conversion() {
        Ok(conversion) => conversion,
        Err(error) => {
            let again = |other: &Args| match &other.command {
                Some(Command::Export(export)) => export.conversion().map(drop),
                _ => Ok(()),
            };
            return failed(printer, &all.blame(error, again));
        }
    };
    let mut screen = Screen::new(printer, conversion.plan.formats.is_empty(), cancel);
    let outcome = job::convert(&conversion, cancel, &mut |event| screen.show(&event));
    screen.end(outcome)
}

/// Prints what was asked for; whoever reads no further has what they wanted.
fn told(printer: Printer, text: &str) -> ExitCode {
    match printer.text(text.trim_end()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            failed(printer, &Error::Output { path: "standard output".into(), source })
        }
        _ => ExitCode::Done,
    }
}

fn failed(printer: Printer, error: &Error) -> ExitCode {
    printer.error(error);
    ExitCode::from(error)
}

fn run_bench(args: &BenchArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let measured = use_threads(args.threads.map(usize::from)).and_then(|()| {
        let bench = args.bench()?;
        let mut screen = Screen::new(printer, false, cancel);
        let figures = job::bench(&bench, cancel, &mut |event| screen.show(&event))?;
        screen.progress.clear();
        let text = match args.json {
            true => serde_json::to_string(&figures).map_err(|error| Error::compute("writing JSON", error))?,
            false => bench::table(&figures),
        };
        printer.text(&text).map_err(|source| Error::Output { path: "standard output".into(), source })
    });
    measured.map_or_else(|error| failed(printer, &error), |()| ExitCode::Done)
}

fn use_threads(threads: Option<usize>) -> crate::error::Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.map_err(|error| Error::compute("starting the threads", error))
}

fn ended(summary: &Summary, cancel: &CancelToken) -> ExitCode {
    // A request that came when everything was done changes nothing but what the sender expects to see.
    if let Some(reason @ (CancelReason::Interrupt | CancelReason::Terminate)) = cancel.reason() {
        return ExitCode::from(&Error::Cancelled(reason));
    }
    // A full disk is worse news than a bad file, and both than what is done and could be better.
    let failed = summary.failures.iter().map(ExitCode::from).max_by_key(|code| *code as u8);
    let missed = summary.missed.first().map(ExitCode::from);
    failed.or(missed).unwrap_or(ExitCode::Done)
}

/// Everything that one run shows.
struct Screen<'a> {
    printer: Printer,
    progress: Progress,
    prints_text: bool,
    /// Why text could not be printed, if not for want of a reader.
    unprinted: Option<std::io::Error>,
    cancel: &'a CancelToken,
}

impl<'a> Screen<'a> {
    fn new(printer: Printer, prints_text: bool, cancel: &'a CancelToken) -> Self {
        let progress = Progress::new(printer.shows_progress());
        Self { printer, progress, prints_text, unprinted: None, cancel }
    }

    /// Tells how it ended.
    fn end(mut self, outcome: Result<Summary, Vec<Error>>) -> ExitCode {
        self.progress.clear();
        if let Some(source) = self.unprinted.take() {
            return failed(self.printer, &Error::Output { path: "standard output".into(), source });
        }
        match outcome {
            Ok(summary) => ended(&summary, self.cancel),
            Err(errors) => {
                // Only a plan has several faults, and they end alike or with the gravest, which comes last.
                let told = errors.iter().filter(|error| !matches!(error, Error::Cancelled(_)));
                told.for_each(|error| self.printer.error(error));
                errors.last().map_or(ExitCode::Usage, ExitCode::from)
            }
        }
    }

    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Skipped { input } => {
                self.notice(&format!("`{input}`: already done; `--overwrite` does it again"))
            }
            Event::Download(step) => self.progress.download(step.file, step.done, step.total),
            Event::Loading { model, device } => self.progress.wait(&format!("loading `{model}` on {device}")),
            Event::Loaded { identity, device, seconds } => {
                self.progress.clear();
                let identity = identity.revision.as_deref().unwrap_or(&identity.name);
                self.detail(&format!("model {identity} on {device}, loaded in {seconds:.1} s"));
            }
            Event::Started { input, number, count } => {
                self.progress.clear();
                if *count > 1 {
                    self.note(&format!("`{input}` ({number} of {count})"));
                }
            }
            Event::Language { input, guess } => {
                let percent = guess.probability() * 100.0;
                self.detail(&format!("`{input}`: language {} ({percent:.0} %)", guess.language.name()));
            }
            Event::Segments(segments) if self.prints_text => {
                segments.iter().map(|segment| segment.text.trim()).for_each(|text| self.text(text));
            }
            Event::Segments(_) => {}
            Event::Window { input, window } if window.fallbacks > 0 => {
                let at = length(seconds_of_frames(window.seek as u64));
                let (tries, hot) = (window.fallbacks + 1, window.temperature);
                self.detail(&format!("`{input}`: from {at} took {tries} attempts, temperature {hot}"));
            }
            Event::Window { .. } => {}
            Event::Progress { input, in_flight, done, known, stats } => {
                self.progress.audio(&stats::label(input, *in_flight, stats), *done, *known);
            }
            Event::Released { input, chunk, footprint } => {
                self.detail(&format!("`{input}`: chunk {}: {}", chunk + 1, stats::footprint(footprint)));
            }
            Event::SlotsReduced { slots } => {
                let text = format!("memory is short: going on with {slots} half minutes at a time");
                self.progress.aside(|| self.printer.warning(&text));
            }
            Event::Resumed { input } => {
                self.notice(&format!("`{input}`: goes on where an earlier run was stopped"))
            }
            Event::Renewed { input, why, kept } => {
                let which = if *kept { "some" } else { "none" };
                self.detail(&format!("`{input}`: {which} of an earlier run's work is of use: {why}"));
            }
            Event::NotKept { input, error } => self.warning(&format!(
                "`{input}`: what is finished cannot be kept, should the work be stopped: {error}"
            )),
            // Whoever prints text has nothing to go on with.
            Event::Stopped { kept: 0 } => {}
            Event::Stopped { .. } => {
                self.progress.clear();
                self.notice("stopped; the same command goes on from here");
            }
            Event::Damaged { input, damage } => self.damaged(input, damage),
            Event::Missed { input, clips, duration } => self.missed(input, clips, *duration),
            Event::Written { path } => self.note(&format!("wrote `{}`", path.display())),
            Event::Finished { input, transcript, quality, cues, seconds } => {
                let asked_for = transcript.seconds_asked_for();
                let (audio, speed) = (length(asked_for), asked_for / seconds.max(1e-3));
                self.progress.clear();
                let quality = stats::quality(quality);
                self.detail(&format!("`{input}`: {quality}, subtitles {:.0} of 100", cues.score));
                self.note(&format!("`{input}`: {audio} of audio in {} ({speed:.1}x)", length(*seconds)));
            }
            Event::Failed { error } => {
                self.progress.clear();
                self.printer.error(error);
            }
        }
    }

    /// When nobody reads any more, there is no more to do.
    fn text(&mut self, text: &str) {
        if text.is_empty() || self.cancel.reason().is_some() {
            return;
        }
        if let Err(error) = self.progress.aside(|| self.printer.text(text)) {
            self.cancel.cancel(CancelReason::OutputClosed);
            self.unprinted = Some(error).filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        }
    }

    fn damaged(&self, input: &str, damage: &crate::audio::Damage) {
        let mut what = Vec::new();
        match damage.packets {
            0 => {}
            1 => what.push("1 damaged packet was left out".to_owned()),
            packets => what.push(format!("{packets} damaged packets were left out")),
        }
        if damage.incomplete {
            what.push("less is there than it claims to have".into());
        }
        let cause = damage.first.as_deref().map(|first| format!(" ({first})")).unwrap_or_default();
        self.warning(&format!("`{input}`: {}{cause}", what.join(", ")));
    }

    fn missed(&self, input: &str, clips: &[Clip], duration: f64) {
        for clip in clips {
            let text = format!(
                "`{input}`: clip {clip} lies behind its end at {duration:.2} s: nothing to transcribe"
            );
            self.warning(&text);
        }
    }

    fn warning(&self, text: &str) {
        self.progress.aside(|| self.printer.warning(text));
    }

    fn notice(&self, text: &str) {
        self.progress.aside(|| self.printer.notice(text));
    }

    fn note(&self, text: &str) {
        self.progress.aside(|| self.printer.note(text));
    }

    fn detail(&self, text: &str) {
        self.progress.aside(|| self.printer.detail(text));
    }
}
