//! `transcribe watch`: its options, and what it tells.

mod status;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use self::status::StatusFile;
use super::args::{Args as AllArgs, Command, Time, WorkArgs};
use super::exit::ExitCode;
use super::listen::{Listeners, Wanted};
use super::printer::Printer;
use super::screen::Screen;
use super::{failed, use_threads};
use crate::cancel::CancelToken;
use crate::error::Result;
use crate::plan::InputOptions;
use crate::run::{RunRequest, Session};
use crate::watch::{WatchOptions, watch};

const WATCH: &str = "Watch";

/// How long a model stays loaded with nothing to do, if nobody says otherwise.
const IDLE: Duration = Duration::from_secs(300);

const EXAMPLES: &str = "Examples:
  transcribe watch inbox --export srt                           subtitles beside what comes in
  transcribe watch inbox -r --export json --output-dir out      folders too, with the same folders in out
  transcribe watch inbox --export srt --done-dir done --failed-dir failed
  transcribe watch inbox --export srt --status-file /run/transcribe/status.json
  transcribe watch inbox --export srt --once                    what is there now, then end: for cron

A file is begun when its size and times stay as they are for --settle, nobody has it open for writing, and neither its
name nor one beside it says that it is not whole (talk.wav.part, talk.wav.lock …). Finished inputs are known by their
outputs, as always. A model that has had nothing to do for --idle-timeout (here 5m) is unloaded, and comes back.
The watch ends by SIGINT or SIGTERM; what is finished of an input is kept, and the next watch goes on from there.";

/// Transcribe what comes into a folder, as soon as it is complete
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct WatchArgs {
    /// Folder that recordings come into
    #[arg(value_name = "INBOX")]
    inbox: PathBuf,

    /// Watch the folders below it, too
    #[arg(long, short, env = "TRANSCRIBE_RECURSIVE", value_parser = FalseyValueParser::new(), help_heading = WATCH)]
    recursive: bool,

    /// Take only files of such names (*.mp3), or such paths below the inbox (2024/**); may be said several times
    #[arg(long, env = "TRANSCRIBE_INCLUDE", value_name = "PATTERN", help_heading = WATCH)]
    include: Vec<String>,

    /// Leave out files and folders of such names or paths; may be said several times
    #[arg(long, env = "TRANSCRIBE_EXCLUDE", value_name = "PATTERN", help_heading = WATCH)]
    exclude: Vec<String>,

    /// A file is complete when it has not changed for so long
    #[arg(long, env = "TRANSCRIBE_SETTLE", value_name = "TIME", default_value = "5s", help_heading = WATCH)]
    settle: Time,

    /// How often to look into the inbox, and to write the status file
    #[arg(long, env = "TRANSCRIBE_POLL", value_name = "TIME", default_value = "2s", help_heading = WATCH)]
    poll: Time,

    /// Move inputs that are done there, below the folders that they lie in; their outputs stay where they are
    #[arg(long, env = "TRANSCRIBE_DONE_DIR", value_name = "FOLDER", help_heading = WATCH)]
    done_dir: Option<PathBuf>,

    /// The same of inputs that failed
    #[arg(long, env = "TRANSCRIBE_FAILED_DIR", value_name = "FOLDER", conflicts_with = "retry", help_heading = WATCH)]
    failed_dir: Option<PathBuf>,

    /// Try inputs that failed again after so long, such as 1h [default: only when they change]
    #[arg(long, env = "TRANSCRIBE_RETRY", value_name = "TIME", help_heading = WATCH)]
    retry: Option<Time>,

    /// Keep an account here for monitors, as JSON that is always whole: health, queue, model, memory, heartbeat
    #[arg(long, env = "TRANSCRIBE_STATUS_FILE", value_name = "FILE", help_heading = WATCH)]
    status_file: Option<PathBuf>,

    /// Do what is there and complete, then end as the command without watch does
    #[arg(long, env = "TRANSCRIBE_ONCE", value_parser = FalseyValueParser::new(), help_heading = WATCH)]
    once: bool,

    #[command(flatten)]
    pub work: WorkArgs,
}

impl WatchArgs {
    fn request(&self) -> Result<RunRequest> {
        let mut request = self.work.request(Vec::new(), InputOptions::default())?;
        request.plan.models.policy.idle_timeout.get_or_insert(IDLE);
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
            retry: self.retry.map(|time| time.0),
            done_dir: self.done_dir.clone(),
            failed_dir: self.failed_dir.clone(),
            once: self.once,
        }
    }
}

pub fn run(all: &AllArgs, args: &WatchArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let request = match args.request() {
        Ok(request) => request,
        Err(error) => {
            let again = |other: &AllArgs| match &other.command {
                Some(Command::Watch(watch)) => watch.request().map(drop),
                _ => Ok(()),
            };
            return failed(printer, &all.blame(error, again));
        }
    };
    let talk = &args.work.talk;
    let wanted = Wanted { report: talk.report.clone(), metrics: talk.metrics_file.clone(), info: all.info() };
    let began = use_threads(args.work.threads()).and_then(|()| {
        let session = Session::new(&request)?;
        let options = args.options();
        let file = |path: &Path| StatusFile::create(path, session.device(), options.poll);
        let status = args.status_file.as_deref().map(file).transpose()?;
        let screen = Screen::new(printer, talk.progress, false, cancel);
        Ok((session, options, status, Listeners::new(screen, &wanted, cancel)?))
    });
    let (session, options, status, mut listeners) = match began {
        Ok(began) => began,
        Err(error) => return failed(printer, &error),
    };
    let outcome = status::kept(status.as_ref(), printer, |show| {
        listeners.attend(|context| watch(session, &request, &options, context, show))
    });
    if outcome.is_ok() && args.work.stats {
        listeners.print_stats(printer);
    }
    let code = listeners.end(&outcome);
    if let Some(Err(error)) = status.map(|status| status.end(code)) {
        printer.warning(&error.chain());
    }
    code
}
