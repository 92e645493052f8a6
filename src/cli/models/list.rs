//! `transcribe models list`

use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{ModelsOutput, abbreviated, display_name, json};
use crate::cancel::CancelToken;
use crate::cli::human::{age, size, table, timestamp};
use crate::models::elsewhere::OtherProgram;
use crate::models::hub::Hub;
use crate::models::hub::store::{self, CachedFile, CachedRepository, CachedRevision};
use crate::models::source::{self, KnownModel};
use crate::models::{DEMO, describe};

/// List the models on this machine with their sizes and when they were last used
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Include what other programs keep in the hub cache
    #[arg(long)]
    all: bool,

    /// List the models that can be downloaded by name, with the sizes of the downloads
    #[arg(long, conflicts_with_all = ["all", "names"])]
    available: bool,

    /// Print only names, for completions.
    #[arg(long, hide = true)]
    names: bool,

    /// Print JSON with every file and its checksum
    #[arg(long)]
    json: bool,
}

pub fn run(args: &ListArgs, output: &mut ModelsOutput<'_>) -> Result<()> {
    let hub = Hub::from_env(true);
    let mut found = store::repositories(&hub.cache)?;
    found.retain(|repository| args.all || repository.is_whisper());
    if args.available {
        return available(args.json, &found, output);
    }
    let others: Vec<_> = hub.others.iter().flat_map(|others| others.list(source::names())).collect();
    if args.names {
        let names = found.iter().map(display_name).chain(others.iter().map(|(name, _)| &**name));
        output.print(&names.collect::<Vec<_>>().join("\n"))?;
        return Ok(());
    }
    if args.json {
        let models: Vec<_> =
            found.iter().flat_map(|r| r.revisions.iter().map(|revision| record(r, revision))).collect();
        let others: Vec<_> = others.iter().map(|(name, found)| other_record(name, found)).collect();
        output.print(&json(&json!({ "cache": hub.cache, "models": models, "others": others })))?;
        return Ok(());
    }
    let head = ["NAME", "REVISION", "SIZE", "LAST USED", "STATE"].map(String::from).to_vec();
    let demo = source::find(DEMO, None, &hub, &CancelToken::new(), &mut |_| {})?;
    let demo = describe::describe(&demo)?;
    let built_in = [DEMO.to_owned(), "-".into(), size(demo.bytes), "-".into(), "built in".into()].to_vec();
    let mut rows = vec![head, built_in];
    rows.extend(others.iter().map(|(name, found)| other_row(name, found)));
    for repository in &found {
        rows.extend(repository.revisions.iter().map(|revision| row(repository, revision)));
    }
    output.print(&table(&rows))?;
    let all: u64 = found.iter().map(CachedRepository::bytes).sum();
    let folder = hub.cache.display();
    let last = match found.len() {
        0 => format!("no model in `{folder}`; `transcribe models pull NAME` downloads one"),
        1 => format!("1 model, {} in `{folder}`", size(all)),
        count => format!("{count} models, {} in `{folder}`", size(all)),
    };
    output.notice(&last);
    Ok(())
}

/// Lists the models that can be downloaded by name.
fn available(as_json: bool, cached: &[CachedRepository], output: &mut ModelsOutput<'_>) -> Result<()> {
    let is_cached = |model: &KnownModel| cached.iter().any(|found| found.name == model.repository);
    if as_json {
        let record = |model: KnownModel| {
            json!({
                "name": model.name, "repository": model.repository, "parameters": model.parameters,
                "bytes": model.bytes, "cached": is_cached(&model),
            })
        };
        let models: Vec<_> = source::known().map(record).collect();
        output.print(&json(&json!({ "models": models })))?;
        return Ok(());
    }
    let head = ["NAME", "DOWNLOAD", "PARAMETERS", "REPOSITORY", "STATE"].map(String::from).to_vec();
    let row = |model: KnownModel| {
        let bytes = model.bytes.map_or_else(|| "-".into(), |bytes| format!("about {}", size(bytes)));
        let parameters =
            model.parameters.map_or_else(|| "-".into(), |count| format!("{} M", count / 1_000_000));
        let state = if is_cached(&model) { "in the cache" } else { "-" };
        vec![model.name.to_owned(), bytes, parameters, model.repository.to_owned(), state.into()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(source::known().map(row)).collect();
    output.print(&table(&rows))?;
    output.notice(
        "`transcribe models pull NAME` downloads one; any other repository of a Whisper model works, too",
    );
    Ok(())
}

fn row(repository: &CachedRepository, revision: &CachedRevision) -> Vec<String> {
    let references = revision.references.iter().map(String::as_str);
    let names: Vec<&str> = [abbreviated(&revision.commit)].into_iter().chain(references).collect();
    let used = revision.used().map_or_else(|| "-".to_owned(), |used| age(used, SystemTime::now()));
    vec![
        display_name(repository).to_owned(),
        names.join(" "),
        size(revision.bytes()),
        used,
        state(revision).into(),
    ]
}

/// Returns the row of a model that another program has downloaded.
fn other_row(name: &str, found: &OtherProgram) -> Vec<String> {
    let metadata = found.path.metadata().ok();
    let used = metadata.as_ref().and_then(|found| found.accessed().ok());
    vec![
        name.to_owned(),
        "-".into(),
        size(metadata.map_or(0, |found| found.len())),
        used.map_or_else(|| "-".to_owned(), |used| age(used, SystemTime::now())),
        format!("of {}", found.program),
    ]
}

fn other_record(name: &str, found: &OtherProgram) -> serde_json::Value {
    let bytes = found.path.metadata().map_or(0, |found| found.len());
    json!({ "name": name, "program": found.program, "path": found.path, "bytes": bytes })
}

fn state(revision: &CachedRevision) -> &'static str {
    match (revision.is_whisper(), revision.is_complete()) {
        (true, true) => "ready",
        (true, false) => "incomplete",
        (false, _) => "other program",
    }
}

fn record(repository: &CachedRepository, revision: &CachedRevision) -> serde_json::Value {
    let file = |file: &CachedFile| {
        let (kind, checksum) = file.checksum().unzip();
        json!({ "name": file.name, "bytes": file.bytes, "checksum": checksum, "checksum_kind": kind })
    };
    json!({
        "name": display_name(repository),
        "repository": repository.name,
        "revision": revision.commit,
        "references": revision.references,
        "path": revision.path,
        "bytes": revision.bytes(),
        "last_used": revision.used().and_then(timestamp),
        "ready": revision.is_whisper() && revision.is_complete(),
        "files": revision.files.iter().map(file).collect::<Vec<_>>(),
    })
}
