//! The person: arguments, progress, messages, signals, exit codes.
//!
//! Nothing but this room prints or ends the program; what happens comes as events of the job.

mod alignment;
mod args;
mod bench;
mod exit;
mod export;
mod interrupt;
mod printer;
mod progress;
mod score;
mod screen;
mod stats;

pub use self::args::Args;
pub use self::exit::ExitCode;
pub use self::interrupt::Interrupt;

use self::args::Command;
use self::bench::BenchArgs;
use self::export::ExportArgs;
use self::printer::{Printer, Talk};
use self::screen::Screen;
use crate::audio::panics_are_caught;
use crate::cancel::CancelToken;
use crate::error::{Error, panic_text};
use crate::job;

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
    let args = Args::read().map_err(|told| {
        // Help into a closed pipe is no failure.
        let _ = told.print();
        if told.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
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
    match &args.command {
        None => run_job(args, printer, cancel),
        Some(Command::Bench(bench)) => run_bench(bench, printer, cancel),
        Some(Command::Export(export)) => run_export(export, printer, cancel),
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
        screen.clear();
        stats::table(summary).iter().for_each(|line| printer.notice(line));
    }
    screen.end(outcome)
}

fn run_export(args: &ExportArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let printer = if args.quiet { Printer::new(Talk::Quiet) } else { printer };
    if args.check {
        return export::check(args, printer)
            .map_or_else(|error| failed(printer, &error), |()| ExitCode::Done);
    }
    let conversion = match args.conversion() {
        Ok(conversion) => conversion,
        Err(error) => return failed(printer, &error),
    };
    let mut screen = Screen::new(printer, conversion.plan.formats.is_empty(), cancel);
    let outcome = job::convert(&conversion, cancel, &mut |event| screen.show(&event));
    screen.end(outcome)
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
        screen.clear();
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
