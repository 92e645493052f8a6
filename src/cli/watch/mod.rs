//! `transcribe watch`: options, and the status file.

mod status;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use clap::builder::FalseyValueParser;

use self::status::StatusFile;
use super::args::{CliCommand, CommandLine, DurationArg, TranscribeArgs};
use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::run_output::{RunOutput, TextOutput};
use super::use_threads;
use crate::cancel::CancelToken;
use crate::plan::InputOptions;
use crate::run::{DoneMove, RunRequest, Session};
use crate::watch::{WatchOptions, watch};

const WATCH: &str = "Watch";

/// The default of `--idle-timeout`.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

const EXAMPLES: &str = "Examples:
  transcribe watch inbox --export srt                           write subtitles next to the recordings
  transcribe watch inbox -r --export json --output-dir out      watch subfolders and recreate them in out
  transcribe watch inbox --export srt --done-dir done --failed-dir failed
  transcribe watch inbox --export srt --status-file /run/transcribe/status.json
  transcribe watch inbox --export srt --once                    process what is there now and exit, for cron

A file is processed once its size and times have not changed for --settle, no process has it open for writing, and neither
its name nor a file next to it marks it as incomplete (talk.wav.part, talk.wav.lock …). Inputs whose outputs exist are
skipped. The model is unloaded after --idle-timeout (default here: 5m) without work and loaded again when needed.
SIGINT and SIGTERM stop the watch; finished chunks are kept, and the next watch resumes from there.";

/// Transcribe recordings as they arrive in a folder
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct WatchArgs {
    /// Folder to watch
    #[arg(value_name = "INBOX")]
    inbox: PathBuf,

    /// Watch subfolders
    #[arg(long, short, env = "TRANSCRIBE_RECURSIVE", value_parser = FalseyValueParser::new(), help_heading = WATCH)]
    recursive: bool,

    /// Take only files whose name (*.mp3) or path below the inbox (2024/**) matches; repeatable
    #[arg(long, env = "TRANSCRIBE_INCLUDE", value_name = "PATTERN", help_heading = WATCH)]
    include: Vec<String>,

    /// Skip files and folders whose name or path matches; repeatable
    #[arg(long, env = "TRANSCRIBE_EXCLUDE", value_name = "PATTERN", help_heading = WATCH)]
    exclude: Vec<String>,

    /// Time without changes after which a file is complete
    #[arg(long, env = "TRANSCRIBE_SETTLE", value_name = "TIME", default_value = "5s", help_heading = WATCH)]
    settle: DurationArg,

    /// Interval between scans of the inbox and writes of the status file
    #[arg(long, env = "TRANSCRIBE_POLL", value_name = "TIME", default_value = "2s", help_heading = WATCH)]
    poll: DurationArg,

    /// Move finished inputs to this folder, keeping their subfolders; outputs stay where they are
    #[arg(long, env = "TRANSCRIBE_DONE_DIR", value_name = "FOLDER", help_heading = WATCH)]
    done_dir: Option<PathBuf>,

    /// Move failed inputs to this folder
    #[arg(long, env = "TRANSCRIBE_FAILED_DIR", value_name = "FOLDER", conflicts_with = "retry", help_heading = WATCH)]
    failed_dir: Option<PathBuf>,

    /// Retry failed inputs after this time, such as 1h [default: only when they change]
    #[arg(long, env = "TRANSCRIBE_RETRY", value_name = "TIME", help_heading = WATCH)]
    retry: Option<DurationArg>,

    /// Write a status file for monitors, as JSON that is replaced atomically: health, queue, model, memory, heartbeat
    #[arg(long, env = "TRANSCRIBE_STATUS_FILE", value_name = "FILE", help_heading = WATCH)]
    status_file: Option<PathBuf>,

    /// Process the complete files that are there and exit, as the command without watch does
    #[arg(long, env = "TRANSCRIBE_ONCE", value_parser = FalseyValueParser::new(), help_heading = WATCH)]
    once: bool,

    #[command(flatten)]
    pub transcribe: TranscribeArgs,
}

impl WatchArgs {
    fn request(&self, all: &CommandLine) -> crate::error::Result<RunRequest> {
        let may_lack_words = !all.sets_word_options();
        let mut request = self.transcribe.request(Vec::new(), InputOptions::default(), may_lack_words)?;
        request.plan.models.policy.idle_timeout.get_or_insert(DEFAULT_IDLE_TIMEOUT);
        let moves = |to: &PathBuf| DoneMove { from: self.inbox.clone(), to: to.clone() };
        request.moves = self.done_dir.as_ref().map(moves);
        Ok(request)
    }

    fn options(&self) -> WatchOptions {
        WatchOptions {
            inbox: self.inbox.clone(),
            recursive: self.recursive,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            settle: self.settle.0,
            poll: self.poll.0.max(Duration::from_millis(10)),
            retry: self.retry.map(|duration| duration.0),
            done_dir: self.done_dir.clone(),
            failed_dir: self.failed_dir.clone(),
            once: self.once,
        }
    }
}

pub fn run(all: &CommandLine, args: &WatchArgs, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let rebuild = |other: &CommandLine| match &other.command {
        Some(CliCommand::Watch(watch)) => watch.request(other).map(drop),
        _ => Ok(()),
    };
    let request = args.request(all).map_err(|error| all.locate(error, rebuild))?;
    use_threads(args.transcribe.threads())?;
    let session = Session::new(&request)?;
    let options = args.options();
    let create = |path: &Path| StatusFile::create(path, session.device(), options.poll);
    let status = args.status_file.as_deref().map(create).transpose()?;
    let reporting = &args.transcribe.reporting;
    let files = ReportFiles {
        report: reporting.report.clone(),
        metrics: reporting.metrics_file.clone(),
        info: all.run_info(),
    };
    let output = RunOutput::new(printer, reporting.progress, TextOutput::default(), cancel);
    let mut observers = Observers::new(output, &files, cancel)?;
    let outcome = status::keep_updated(status.as_ref(), printer, |show| {
        observers.observe(|context| watch(session, &request, &options, context, show))
    });
    if outcome.is_ok() && args.transcribe.stats {
        observers.print_stats(printer);
    }
    let code = observers.finish(&outcome);
    if let Some(Err(error)) = status.map(|status| status.finish(code)) {
        printer.warning(&error.chain());
    }
    Ok(code)
}
