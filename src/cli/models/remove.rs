//! `transcribe models remove`

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, Result};
use clap::Args;

use super::{ModelsOutput, abbreviated, cached, display_name};
use crate::cancel::CancelToken;
use crate::cli::human::size;
use crate::cli::printer::ask;
use crate::error::{Error, ModelProblem};
use crate::models::hub::Hub;
use crate::models::hub::store::CachedRepository;

/// Delete models from the cache after confirmation
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Sizes or hub repositories
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Delete only this branch, tag or commit [default: all revisions]
    #[arg(long)]
    revision: Option<String>,

    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

pub fn run(args: &RemoveArgs, output: &mut ModelsOutput<'_>) -> Result<()> {
    let hub = Hub::from_env(true);
    let mut selected = Vec::new();
    for name in &args.names {
        let model = cached(&hub, name)?;
        let commits: Vec<String> =
            model.select(args.revision.as_deref()).iter().map(|revision| revision.commit.clone()).collect();
        if let Some(revision) = args.revision.as_ref().filter(|_| commits.is_empty()) {
            let has: Vec<&str> =
                model.revisions.iter().map(|revision| abbreviated(&revision.commit)).collect();
            let why = format!("the cache has no revision `{revision}`, only {}", has.join(", "));
            return Err(Error::model(name, ModelProblem::NotFound(Some(why))).into());
        }
        selected.push((model, commits));
    }
    if !args.yes && !confirm(&selected, output.cancel)? {
        output.notice("nothing was removed");
        return Ok(());
    }
    let mut freed = 0;
    for (model, commits) in &selected {
        freed += model.remove(&hub.cache, commits)?;
        output.print(&format!("removed {}", display_name(model)))?;
    }
    output.notice(&format!("freed {}", size(freed)));
    Ok(())
}

/// Asks for confirmation on the terminal; fails if there is none.
fn confirm(selected: &[(CachedRepository, Vec<String>)], cancel: &CancelToken) -> Result<bool> {
    let what: Vec<String> = selected.iter().map(|(model, commits)| describe(model, commits)).collect();
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Usage {
            what: "`transcribe models remove`".into(),
            why: "cannot ask for confirmation without a terminal".into(),
            hint: Some(format!("`--yes` deletes {} without confirmation", what.join(" and "))),
        }
        .into());
    }
    ask(&format!("delete {}? [y/N] ", what.join(" and ")));
    wait_for_input(cancel)?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Waits for a line on stdin; stops waiting when the command is cancelled.
#[cfg(unix)]
fn wait_for_input(cancel: &CancelToken) -> Result<()> {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let stdin = io::stdin();
    while cancel.check().map(|()| true)? {
        let mut descriptors = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        // If the wait was interrupted, the check above decides.
        if poll(&mut descriptors, PollTimeout::from(100u8)).is_ok_and(|ready| ready > 0) {
            break;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn wait_for_input(_: &CancelToken) -> Result<()> {
    Ok(())
}

fn describe(model: &CachedRepository, commits: &[String]) -> String {
    let total = match commits.len() == model.revisions.len() {
        true => model.bytes(),
        false => model.revisions.iter().filter(|r| commits.contains(&r.commit)).map(|r| r.bytes()).sum(),
    };
    let commits: Vec<&str> = commits.iter().map(|commit| abbreviated(commit)).collect();
    format!("{} ({}, {})", display_name(model), commits.join(", "), size(total))
}
