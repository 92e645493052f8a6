//! `transcribe models`: what is cached, fetched, shown, proved and removed.

mod list;
mod pull;
mod remove;
mod show;
mod verify;

use clap::{Args, Subcommand};

use super::Screen;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::backend::DEMO;
use crate::backend::hub::Hub;
use crate::backend::hub::store::{self, Repository};
use crate::backend::source;
use crate::cancel::CancelToken;
use crate::error::{Error, ModelFault, Result};

const EXAMPLES: &str = "Examples:
  transcribe models list                     what is on this machine, and how large
  transcribe models pull large-v3-turbo      fetch it now, to work without a network later
  transcribe models show small               its layers, languages, and the memory it needs
  transcribe models verify                   read every byte and compare the checksums
  transcribe models remove tiny base         make room";

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
    let mut screen = Screen::new(printer, false, cancel);
    let done = match &args.command {
        ModelsCommand::List(list) => list::run(list, &screen),
        ModelsCommand::Pull(pull) => pull::run(pull, &mut screen),
        ModelsCommand::Show(show) => show::run(show, &screen),
        ModelsCommand::Verify(verify) => verify::run(verify, &mut screen),
        ModelsCommand::Remove(remove) => remove::run(remove, &screen),
    };
    screen.progress.clear();
    match done {
        Ok(()) => ExitCode::Done,
        // The signal says enough.
        Err(error @ Error::Cancelled(_)) => ExitCode::from(&error),
        Err(error) => super::failed(printer, &error),
    }
}

/// One line or more on stdout; whoever reads no further has what they wanted.
fn say(screen: &Screen<'_>, text: &str) -> Result<()> {
    match screen.progress.aside(|| screen.printer.text(text)) {
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
    found.ok_or_else(|| Error::model(model, ModelFault::NotCached))
}

/// The name that people use, else that of the repository.
pub fn called(repository: &Repository) -> &str {
    source::name_of(&repository.name).unwrap_or(&repository.name)
}

/// As git shortens it.
fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}
