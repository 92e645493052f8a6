//! The default command: transcribes the inputs, or shows what it would do.

use anyhow::Result;

use super::args::CommandLine;
use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::progress::ProgressMode;
use super::run_output::{RunOutput, TextOutput};
use super::{dry_run, use_threads};
use crate::cancel::CancelToken;
use crate::report::RunInfo;
use crate::run::{self, TextEvents};

pub fn run(args: &CommandLine, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let mut request = args.request()?;
    use_threads(args.transcribe.threads())?;
    if let Some(format) = args.dry_run() {
        return dry_run::run(&request.plan, format, printer);
    }
    let reporting = &args.transcribe.reporting;
    let files = ReportFiles {
        report: reporting.report.clone(),
        metrics: reporting.metrics_file.clone(),
        info: RunInfo { shard: request.plan.shard.map(|shard| shard.to_string()), ..args.run_info() },
    };
    let is_terminal = printer.prints_to_terminal();
    let prints_text = request.plan.outputs.formats.is_empty();
    // In front of a person, text is shown above the progress display while files are written, too.
    let shows_text = is_terminal && printer.shows_progress() && reporting.progress == ProgressMode::Auto;
    let emits_all_text = !prints_text && !request.plan.outputs.to_stdout && shows_text;
    if emits_all_text {
        request.text = TextEvents::All;
    }
    let text = TextOutput {
        is_printed: prints_text || emits_all_text,
        with_times: args.transcribe.timestamps().unwrap_or(is_terminal),
        with_names: is_terminal,
    };
    let output = RunOutput::new(printer, reporting.progress, text, cancel);
    let mut observers = Observers::new(output, &files, cancel)?;
    let outcome = observers.observe(|context| run::run(&request, context));
    if outcome.is_ok() && args.transcribe.stats {
        observers.print_stats(printer);
    }
    Ok(observers.finish(&outcome))
}
