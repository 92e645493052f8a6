//! `transcribe models remove`

use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use super::{Stage, cached, called, say, short};
use crate::cancel::CancelToken;
use crate::cli::human::bytes;
use crate::cli::printer::ask;
use crate::error::{Error, ModelProblem, Result};
use crate::models::hub::Hub;
use crate::models::hub::store::Repository;

/// Delete models from the cache; asks first
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Sizes or hub repositories
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Only this branch, tag or commit [default: all of the model]
    #[arg(long)]
    revision: Option<String>,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub fn run(args: &RemoveArgs, stage: &mut Stage<'_>) -> Result<()> {
    let hub = Hub::from_env(true);
    let mut doomed = Vec::new();
    for name in &args.names {
        let model = cached(&hub, name)?;
        let commits: Vec<String> =
            model.named(args.revision.as_deref()).iter().map(|revision| revision.commit.clone()).collect();
        if let Some(revision) = args.revision.as_ref().filter(|_| commits.is_empty()) {
            let has: Vec<&str> = model.revisions.iter().map(|revision| short(&revision.commit)).collect();
            let why = format!("the cache has no revision `{revision}`, only {}", has.join(", "));
            return Err(Error::model(name, ModelProblem::NotFound(Some(why))));
        }
        doomed.push((model, commits));
    }
    if !args.yes && !consent(&doomed, stage.cancel)? {
        stage.notice("nothing was removed");
        return Ok(());
    }
    let mut freed = 0;
    for (model, commits) in &doomed {
        freed += model.remove(&hub.cache, commits)?;
        say(stage, &format!("removed {}", called(model)))?;
    }
    stage.notice(&format!("{} are free again", bytes(freed)));
    Ok(())
}

/// Asks on the terminal; where nobody can be asked, that is an error.
fn consent(doomed: &[(Repository, Vec<String>)], cancel: &CancelToken) -> Result<bool> {
    let what: Vec<String> = doomed.iter().map(|(model, commits)| sentence(model, commits)).collect();
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Usage {
            what: "`transcribe models remove`".into(),
            why: "asks before it deletes, and there is no terminal".into(),
            hint: Some(format!("`--yes` deletes {} without asking", what.join(" and "))),
        });
    }
    ask(&format!("delete {}? [y/N] ", what.join(" and ")));
    wait(cancel)?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Error::compute("reading the answer", error))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Until a line is there; Ctrl+C does not wait for one.
#[cfg(unix)]
fn wait(cancel: &CancelToken) -> Result<()> {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let stdin = io::stdin();
    while cancel.check().map(|()| true)? {
        let mut descriptors = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is what the check is for.
        if poll(&mut descriptors, PollTimeout::from(100u8)).is_ok_and(|ready| ready > 0) {
            break;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn wait(_: &CancelToken) -> Result<()> {
    Ok(())
}

fn sentence(model: &Repository, commits: &[String]) -> String {
    let bytes = match commits.len() == model.revisions.len() {
        true => bytes(model.bytes()),
        false => {
            bytes(model.revisions.iter().filter(|r| commits.contains(&r.commit)).map(|r| r.bytes()).sum())
        }
    };
    let commits: Vec<&str> = commits.iter().map(|commit| short(commit)).collect();
    format!("{} ({}, {bytes})", called(model), commits.join(", "))
}
