//! The person: arguments, progress, messages, signals, exit codes.
//!
//! Nothing but this room prints or ends the program; what happens comes as events of the job.

mod alignment;
mod args;
mod bench;
mod completions;
mod config;
mod doctor;
mod exit;
mod export;
mod human;
mod interrupt;
mod listen;
mod log;
mod models;
mod plan;
mod printer;
mod progress;
mod report;
mod run_summary;
mod score;
mod screen;
mod stats;
mod usage_error;
mod watch;

pub use self::args::Args;
pub use self::exit::ExitCode;
pub use self::interrupt::Interrupt;

use self::args::Command;
use self::bench::BenchArgs;
use self::config::Refusal;
use self::export::ExportArgs;
use self::listen::{Listeners, Wanted};
use self::log::{Level, LogFormat};
use self::printer::Printer;
use self::progress::Mode;
use self::screen::Screen;
use crate::audio::is_catching_codec_panics;
use crate::cancel::CancelToken;
use crate::error::{Error, panic_message};
use crate::report::RunInfo;
use crate::run;

/// What the command line asks for, or how to end at once: help and mistakes are told here.
pub fn start() -> Result<(Args, Interrupt), ExitCode> {
    std::panic::set_hook(Box::new(|panic| {
        // What the reader of a damaged file catches counts as damage.
        if is_catching_codec_panics() {
            return;
        }
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        printer::bug(panic_message(panic.payload()), &place);
    }));
    let args = Args::read().map_err(|refusal| {
        let printer =
            Printer::new(Level::Error, if speaks_json() { LogFormat::Json } else { LogFormat::Text }, false);
        match refusal {
            Refusal::CommandLine(told) if told.use_stderr() && speaks_json() => {
                printer.mistake(&told.to_string());
                ExitCode::Usage
            }
            Refusal::CommandLine(told) => {
                // Help into a closed pipe is no failure.
                let _ = told.print();
                if told.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
            }
            Refusal::Told(errors) => {
                errors.iter().for_each(|error| printer.error(error));
                ExitCode::Usage
            }
        }
    })?;
    let interrupt = Interrupt::listen().map_err(|error| {
        printer_of(&args).error(&error);
        ExitCode::Bug
    })?;
    Ok((args, interrupt))
}

/// Of a command line that could not be read.
fn speaks_json() -> bool {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    log::wants_json(words, std::env::var("TRANSCRIBE_LOG_FORMAT").ok().as_deref())
}

fn printer_of(args: &Args) -> Printer {
    let work = match &args.command {
        Some(Command::Watch(watch)) => &watch.work,
        _ => &args.work,
    };
    let (level, is_said) = work.talk.level(work.quiet, work.verbose);
    Printer::new(level, work.talk.log_format, is_said)
}

/// Does what was asked for and says how it ended.
pub fn run(args: &Args, cancel: &CancelToken) -> ExitCode {
    let printer = printer_of(args);
    if let Some(listing) = args.listing() {
        return told(printer, listing);
    }
    match &args.command {
        None => run_job(args, printer, cancel),
        Some(Command::Bench(bench)) => run_bench(bench, printer, cancel),
        Some(Command::Completions(shell)) => told(printer, &completions::script(shell, Args::described())),
        Some(Command::Doctor(doctor)) => doctor::run(doctor, args.config_report(), printer, cancel),
        Some(Command::Export(export)) => run_export(args, export, printer, cancel),
        Some(Command::Man(man)) => match completions::manual(man, Args::described()) {
            Ok(page) => page.map_or(ExitCode::Done, |page| told(printer, &page)),
            Err(error) => failed(printer, &error),
        },
        Some(Command::Models(models)) => models::run(models, printer, cancel),
        Some(Command::Report(report)) => report::run(report, printer),
        Some(Command::Score(score)) => score::run(score, printer, cancel),
        Some(Command::Watch(watch)) => watch::run(args, watch, printer, cancel),
    }
}

fn run_job(args: &Args, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let request = match args.request().and_then(|request| use_threads(args.work.threads()).map(|()| request))
    {
        Ok(request) => request,
        Err(error) => return failed(printer, &error),
    };
    if let Some(how) = args.dry_run() {
        return plan::run(&request.plan, how, printer);
    }
    let screen =
        Screen::new(printer, args.work.talk.progress, request.plan.outputs.formats.is_empty(), cancel);
    let wanted = Wanted {
        report: args.work.talk.report.clone(),
        metrics: args.work.talk.metrics_file.clone(),
        info: RunInfo { shard: request.plan.shard.map(|shard| shard.to_string()), ..args.info() },
    };
    let mut listeners = match Listeners::new(screen, &wanted, cancel) {
        Ok(listeners) => listeners,
        Err(error) => return failed(printer, &error),
    };
    let outcome = listeners.attend(|context| run::run(&request, context));
    if outcome.is_ok() && args.work.stats {
        listeners.print_stats(printer);
    }
    listeners.end(&outcome)
}

fn run_export(all: &Args, args: &ExportArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let printer = if args.quiet { printer.quiet() } else { printer };
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
    let screen = Screen::new(printer, Mode::None, conversion.outputs.formats.is_empty(), cancel);
    let mut listeners = match Listeners::new(screen, &Wanted::default(), cancel) {
        Ok(listeners) => listeners,
        Err(error) => return failed(printer, &error),
    };
    let outcome = listeners.attend(|context| run::convert(&conversion, context));
    listeners.end(&outcome)
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
        let screen = Screen::new(printer, Mode::Auto, false, cancel);
        let mut listeners = Listeners::new(screen, &Wanted::default(), cancel)?;
        let figures = listeners.attend(|context| run::bench(&bench, context))?;
        listeners.clear();
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
