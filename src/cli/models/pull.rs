//! `transcribe models pull`

use clap::Args;

use super::{Stage, say};
use crate::cli::human::bytes;
use crate::error::{Error, Result};
use crate::models::checkpoint::{Checkpoint, Files};
use crate::models::hub::Hub;
use crate::models::source;

/// Fetch models, or go on where that was stopped; what is there already is left as it is
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Sizes (large-v3-turbo) or hub repositories (owner/name)
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Branch, tag or commit [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", hide_env = true)]
    revision: Option<String>,
}

/// One that cannot be had does not keep the others from being fetched.
pub fn run(args: &PullArgs, stage: &mut Stage<'_>) -> Result<()> {
    let hub = Hub::from_env(false);
    let mut failure = None;
    for name in &args.names {
        match pull(name, args.revision.as_deref(), &hub, stage) {
            Ok(line) => say(stage, &line)?,
            Err(error @ Error::Cancelled(_)) => return Err(error),
            Err(error) => {
                stage.clear();
                if let Some(before) = failure.replace(error) {
                    stage.printer.error(&before);
                }
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn pull(name: &str, revision: Option<&str>, hub: &Hub, stage: &mut Stage<'_>) -> Result<String> {
    let cancel = stage.cancel;
    let mut fetched = false;
    let found = source::find(name, revision, hub, cancel, &mut |step| {
        fetched |= step.done > 0;
        stage.download(step);
    })?;
    stage.clear();
    let what = if fetched { "fetched" } else { "is there" };
    Ok(format!("{name}: {what}: {}", place(&found)))
}

fn place(checkpoint: &Checkpoint) -> String {
    let Files::Folder { weights, .. } = &checkpoint.files else { return "built into the program".into() };
    let size = weights.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let folder = weights.first().and_then(|path| path.parent()).unwrap_or_else(|| "".as_ref());
    format!("{}, {} in `{}`", checkpoint.identity, bytes(size), folder.display())
}
