//! `transcribe models`: what is cached, fetched, shown, proved and removed.

mod list;
mod pull;
mod remove;
mod show;
mod verify;

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::Mode;
use super::screen::Screen;
use crate::cancel::CancelToken;
use crate::error::{Error, ModelProblem, Result};
use crate::models::DEMO;
use crate::models::hub::store::{self, Repository};
use crate::models::hub::{Download, Hub};
use crate::models::source;
use crate::report::Tally;
use crate::run::RunEvent;

const EXAMPLES: &str = "Examples:
  transcribe models list                     what is on this machine, and how large
  transcribe models pull large-v3-turbo      fetch it now, to work without a network later
  transcribe models show small               its layers, languages, and the memory it needs
  transcribe models verify                   read every byte and compare the checksums
  transcribe models remove tiny base         make room";

/// How often the display is drawn.
const OFTEN: Duration = Duration::from_millis(100);

/// Models on this machine: list, fetch, explain, check and remove them
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

pub fn run(args: &ModelsArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let mut stage = Stage::new(printer, cancel);
    let done = match &args.command {
        ModelsCommand::List(list) => list::run(list, &mut stage),
        ModelsCommand::Pull(pull) => pull::run(pull, &mut stage),
        ModelsCommand::Show(show) => show::run(show, &mut stage),
        ModelsCommand::Verify(verify) => verify::run(verify, &mut stage),
        ModelsCommand::Remove(remove) => remove::run(remove, &mut stage),
    };
    stage.clear();
    match done {
        Ok(()) => ExitCode::Done,
        // The signal says enough.
        Err(error @ Error::Cancelled(_)) => ExitCode::from(&error),
        Err(error) => super::failed(printer, &error),
    }
}

/// Where these commands show what they do.
struct Stage<'a> {
    printer: Printer,
    cancel: &'a CancelToken,
    screen: Screen<'a>,
    tally: Tally,
    drawn: Option<Instant>,
}

impl<'a> Stage<'a> {
    fn new(printer: Printer, cancel: &'a CancelToken) -> Self {
        let screen = Screen::new(printer, Mode::Auto, false, cancel);
        Self { printer, cancel, screen, tally: Tally::new(|error| ExitCode::from(error) as u8), drawn: None }
    }

    /// So much of a file is done.
    fn download(&mut self, Download { file, done, total }: Download<'_>) {
        let event = RunEvent::Downloading { file: file.to_owned(), done, total };
        self.screen.show(&event, &self.tally);
        if self.drawn.is_none_or(|drawn| drawn.elapsed() > OFTEN) {
            self.drawn = Some(Instant::now());
            self.screen.tick(&self.tally);
        }
    }

    fn clear(&mut self) {
        self.screen.clear();
    }

    fn notice(&mut self, text: &str) {
        self.clear();
        self.printer.notice(text);
    }
}

/// One line or more on stdout; whoever reads no further has what they wanted.
fn say(stage: &mut Stage<'_>, text: &str) -> Result<()> {
    stage.clear();
    match stage.printer.text(text) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".into(), source })
        }
        _ => Ok(()),
    }
}

fn json(value: &serde_json::Value) -> String {
    // Plain data cannot fail to be written.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What the cache holds under this name.
fn cached(hub: &Hub, model: &str) -> Result<Repository> {
    if model == DEMO {
        return Err(Error::Usage {
            what: format!("model `{DEMO}`"),
            why: "is built into the program, and not in the cache".into(),
            hint: None,
        });
    }
    let name = source::repository(model)?;
    let found = store::repositories(&hub.cache)?.into_iter().find(|repository| repository.name == name);
    found.ok_or_else(|| Error::model(model, ModelProblem::NotCached))
}

/// The name that people use, else that of the repository.
pub fn called(repository: &Repository) -> &str {
    source::name_of(&repository.name).unwrap_or(&repository.name)
}

/// As git shortens it.
fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
