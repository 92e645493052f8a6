//! The command line interface: arguments, configuration, messages, progress, signals and exit codes.
//!
//! Only this module prints or ends the program; the library reports what happens as events. Commands return
//! `anyhow::Result`, and [`run`] turns an error into a message and an exit code.

mod alignment;
mod args;
mod bench;
mod completions;
mod config;
mod doctor;
mod dry_run;
mod environment;
mod exit;
mod export;
mod foreign_options;
mod human;
mod interrupt;
mod log;
mod models;
mod observers;
mod printer;
mod progress;
mod report;
mod run_output;
mod run_summary;
mod score;
mod serve;
mod stats;
mod transcribe;
mod usage_error;
mod voices;
mod watch;

use anyhow::{Context, Result};

pub use self::args::CommandLine;
#[cfg(feature = "testing")]
pub use self::config::check_settings;
pub use self::exit::ExitCode;
pub use self::interrupt::Interrupt;
#[cfg(feature = "testing")]
pub use self::serve::job_parser;

use self::args::{BRIEF_HELP, BriefHelp, CliCommand, LoadError};
use self::log::{LogFormat, LogLevel};
use self::printer::Printer;
use crate::audio::is_catching_codec_panics;
use crate::cancel::CancelToken;
use crate::device::memory::exit_when_exhausted;
use crate::error::{Error, panic_message};

/// Said when nothing can be allocated any more.
const OUT_OF_MEMORY: &str = "error: out of memory: the system refused an allocation
hint: use a smaller `--model`, or lower `--batch-size`; the next run continues with the finished chunks
";

/// Installs the panic hook and the signal handlers and parses the command line. Prints help and usage errors, and returns
/// the exit code for them.
pub fn start() -> Result<(CommandLine, Interrupt), ExitCode> {
    std::panic::set_hook(Box::new(|panic| {
        // Panics that the audio reader catches count as damage of the file.
        if is_catching_codec_panics() {
            return;
        }
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        printer::bug(panic_message(panic.payload()), &location);
    }));
    // Without a handler for it, the program is aborted: no less, but no more.
    let _ = exit_when_exhausted(ExitCode::Memory as u8, OUT_OF_MEMORY);
    let args = CommandLine::load().map_err(report_load_error)?;
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = environment::unknown_variables(&CommandLine::described(), variables);
    unknown.iter().for_each(|warning| printer_for(&args).warning(warning));
    args.notes().iter().for_each(|note| printer_for(&args).notice(note));
    let interrupt = Interrupt::install().map_err(|error| {
        report_error(printer_for(&args), &error);
        // No descriptors for it, or no thread.
        ExitCode::SomeFailed
    })?;
    Ok((args, interrupt))
}

fn report_load_error(error: LoadError) -> ExitCode {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let is_json = log::wants_json(words, std::env::var("TRANSCRIBE_LOG_FORMAT").ok().as_deref());
    let format = if is_json { LogFormat::Json } else { LogFormat::Text };
    let printer = Printer::new(LogLevel::Error, format, false);
    match error {
        LoadError::Brief(BriefHelp::Requested) => {
            // Printing help into a closed pipe is no failure.
            let _ = printer.result(BRIEF_HELP);
            ExitCode::Done
        }
        LoadError::Brief(BriefHelp::NothingToDo) => {
            printer.always(BRIEF_HELP);
            ExitCode::Usage
        }
        LoadError::Clap(message) if message.use_stderr() && is_json => {
            printer.error_text(&message.to_string());
            ExitCode::Usage
        }
        LoadError::Clap(message) => {
            // Printing help into a closed pipe is no failure.
            let _ = message.print();
            if message.use_stderr() { ExitCode::Usage } else { ExitCode::Done }
        }
        LoadError::Usage(errors) => {
            errors.iter().for_each(|error| printer.error(error));
            ExitCode::Usage
        }
    }
}

fn printer_for(args: &CommandLine) -> Printer {
    let transcribe = match &args.command {
        Some(CliCommand::Watch(watch)) => &watch.transcribe,
        Some(CliCommand::Serve(serve)) => &serve.transcribe,
        _ => &args.transcribe,
    };
    let (level, is_requested) = transcribe.reporting.level(transcribe.quiet, transcribe.verbose);
    Printer::new(level, transcribe.reporting.log_format, is_requested)
}

/// Runs the command and reports its error, if it has one.
pub fn run(args: &CommandLine, cancel: &CancelToken) -> ExitCode {
    let printer = printer_for(args);
    run_command(args, printer, cancel).unwrap_or_else(|error| report_error(printer, &error))
}

fn run_command(args: &CommandLine, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    if let Some(listing) = args.config_listing() {
        printer.result(listing)?;
        return Ok(ExitCode::Done);
    }
    match &args.command {
        None => transcribe::run(args, printer, cancel),
        Some(CliCommand::Bench(bench)) => bench::run(bench, printer, cancel),
        Some(CliCommand::Completions(completions)) => completions::print_script(completions, printer),
        Some(CliCommand::Doctor(doctor)) => doctor::run(doctor, args.config_report(), printer, cancel),
        Some(CliCommand::Export(export)) => export::run(args, export, printer, cancel),
        Some(CliCommand::Man(man)) => completions::write_manual(man, printer),
        Some(CliCommand::Models(models)) => models::run(models, printer, cancel),
        Some(CliCommand::Voices(voices)) => voices::run(voices, printer, cancel),
        Some(CliCommand::Report(report)) => report::run(report, printer),
        Some(CliCommand::Serve(serve)) => serve::run(args, serve, printer, cancel),
        Some(CliCommand::Score(score)) => score::run(score, printer, cancel),
        Some(CliCommand::Watch(watch)) => watch::run(args, watch, printer, cancel),
    }
}

/// Prints an error and returns its exit code. A cancellation is not printed: the exit code says enough.
fn report_error(printer: Printer, error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Error>() {
        Some(Error::Cancelled(_)) => {}
        Some(error) => printer.error(error),
        None => printer.error_text(&format!("{error:#}")),
    }
    ExitCode::from(error)
}

/// Sets the number of CPU threads.
fn use_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    pool.context("cannot start the worker threads")
}
