//! `transcribe models`: lists, downloads, describes, verifies and removes models.

mod list;
mod pull;
mod remove;
mod show;
mod verify;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::ProgressMode;
use super::run_output::{RunOutput, TextOutput};
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem};
use crate::models::DEMO;
use crate::models::hub::store::{self, CachedRepository};
use crate::models::hub::{DownloadProgress, Hub};
use crate::models::source;
use crate::report::Tally;
use crate::run::RunEvent;

const EXAMPLES: &str = "Examples:
  transcribe models list                     list models on this machine with their sizes
  transcribe models pull large-v3-turbo      download a model, to work offline later
  transcribe models show small               show layers, languages and required memory
  transcribe models verify                   compare all files with their checksums
  transcribe models remove tiny base         delete models";

/// How often the progress display is redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// List, download, describe, verify and remove models on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
enum ModelsCommand {
    List(list::ListArgs),
    Pull(pull::PullArgs),
    Show(show::ShowArgs),
    Verify(verify::VerifyArgs),
    Remove(remove::RemoveArgs),
}

pub fn run(args: &ModelsArgs, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let mut output = ModelsOutput::new(printer, cancel);
    let outcome = match &args.command {
        ModelsCommand::List(list) => list::run(list, &mut output),
        ModelsCommand::Pull(pull) => pull::run(pull, &mut output),
        ModelsCommand::Show(show) => show::run(show, &mut output),
        ModelsCommand::Verify(verify) => verify::run(verify, &mut output),
        ModelsCommand::Remove(remove) => remove::run(remove, &mut output),
    };
    output.clear();
    outcome.map(|()| ExitCode::Done)
}

/// The output of these commands, with a progress display.
struct ModelsOutput<'a> {
    printer: Printer,
    cancel: &'a CancelToken,
    display: RunOutput<'a>,
    tally: Tally,
    drawn: Option<Instant>,
}

impl<'a> ModelsOutput<'a> {
    fn new(printer: Printer, cancel: &'a CancelToken) -> Self {
        let display = RunOutput::new(printer, ProgressMode::Auto, TextOutput::default(), cancel);
        Self { printer, cancel, display, tally: Tally::new(|error| ExitCode::from(error) as u8), drawn: None }
    }

    /// Shows the progress of a file.
    fn download(&mut self, DownloadProgress { file, done, total }: DownloadProgress<'_>) {
        let event = RunEvent::Downloading { file: file.to_owned(), done, total };
        self.display.show(&event, &self.tally);
        if self.drawn.is_none_or(|drawn| drawn.elapsed() > REDRAW_INTERVAL) {
            self.drawn = Some(Instant::now());
            self.display.tick(&self.tally);
        }
    }

    fn clear(&mut self) {
        self.display.clear();
    }

    /// Prints a result to stdout.
    fn print(&mut self, text: &str) -> crate::error::Result<()> {
        self.clear();
        self.printer.result(text)
    }

    fn notice(&mut self, text: &str) {
        self.clear();
        self.printer.notice(text);
    }
}

fn json(value: &serde_json::Value) -> String {
    // Serializing plain data cannot fail.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns a cached model by its name.
fn cached(hub: &Hub, model: &str) -> crate::error::Result<CachedRepository> {
    if model == DEMO {
        return Err(Error::Usage {
            what: format!("model `{DEMO}`"),
            why: "is built into the program, not cached".into(),
            hint: None,
        });
    }
    let name = source::repository(model)?;
    let found = store::repositories(&hub.cache)?.into_iter().find(|repository| repository.name == name);
    found.ok_or_else(|| Error::model(model, ModelProblem::NotCached))
}

/// Returns the usual name of a model, or the name of its repository.
pub fn display_name(repository: &CachedRepository) -> &str {
    source::name_of(&repository.name).unwrap_or(&repository.name)
}

/// Abbreviates a commit as git does.
fn abbreviated(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
