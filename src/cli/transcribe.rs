//! The default command: transcribes the inputs, or shows what it would do.

use anyhow::Result;

use super::args::CommandLine;
use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::run_output::RunOutput;
use super::{dry_run, use_threads};
use crate::cancel::CancelToken;
use crate::report::RunInfo;
use crate::run;

pub fn run(args: &CommandLine, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let request = args.request()?;
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
    let prints_text = request.plan.outputs.formats.is_empty();
    let output = RunOutput::new(printer, reporting.progress, prints_text, cancel);
    let mut observers = Observers::new(output, &files, cancel)?;
    let outcome = observers.observe(|context| run::run(&request, context));
    if outcome.is_ok() && args.transcribe.stats {
        observers.print_stats(printer);
    }
    Ok(observers.finish(&outcome))
}
