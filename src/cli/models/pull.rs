//! `transcribe models pull`

use anyhow::Result;
use clap::Args;

use super::ModelsOutput;
use crate::cli::human::size;
use crate::error::Error;
use crate::models::checkpoint::Checkpoint;
use crate::models::hub::Hub;
use crate::models::source;

/// Download models, or resume downloads; what is already cached is kept
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Sizes (large-v3-turbo) or hub repositories (owner/name)
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// Branch, tag or commit [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", hide_env = true)]
    revision: Option<String>,
}

/// Downloads all models, even if one of them fails.
pub fn run(args: &PullArgs, output: &mut ModelsOutput<'_>) -> Result<()> {
    let hub = Hub { others: None, ..Hub::from_env(false) };
    let mut failure = None;
    for name in &args.names {
        match pull(name, args.revision.as_deref(), &hub, output) {
            Ok(line) => output.print(&line)?,
            Err(error @ Error::Cancelled(_)) => return Err(error.into()),
            Err(error) => {
                output.clear();
                if let Some(before) = failure.replace(error) {
                    output.printer.error(&before);
                }
            }
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

fn pull(
    name: &str,
    revision: Option<&str>,
    hub: &Hub,
    output: &mut ModelsOutput<'_>,
) -> crate::error::Result<String> {
    let cancel = output.cancel;
    let mut downloaded = false;
    let found = source::find(name, revision, hub, cancel, &mut |step| {
        downloaded |= step.done > 0;
        output.download(step);
    })?;
    output.clear();
    let what = if downloaded { "downloaded" } else { "already cached" };
    Ok(format!("{name}: {what}: {}", location(&found)))
}

fn location(checkpoint: &Checkpoint) -> String {
    let weights = checkpoint.weight_files();
    if weights.is_empty() {
        return "built into the program".into();
    }
    let bytes = weights.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let folder = weights.first().and_then(|path| path.parent()).unwrap_or_else(|| "".as_ref());
    format!("{}, {} in `{}`", checkpoint.identity, size(bytes), folder.display())
}
