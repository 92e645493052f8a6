//! `transcribe models verify`

use std::path::Path;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{ModelsOutput, abbreviated, cached, display_name, json};
use crate::error::{Error, ModelProblem};
use crate::models::describe::describe;
use crate::models::hub::DownloadProgress;
use crate::models::hub::Hub;
use crate::models::hub::store::{self, CachedRepository, FileVerdict};
use crate::models::source;

/// Compare the files of cached models with their checksums from the hub
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Sizes, hub repositories, or files and folders of models [default: all cached Whisper models]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The result for a file.
struct VerifiedFile {
    model: String,
    commit: String,
    file: String,
    bytes: u64,
    verdict: FileVerdict,
}

pub fn run(args: &VerifyArgs, output: &mut ModelsOutput<'_>) -> Result<()> {
    let hub = Hub::from_env(true);
    let (local, cached_names): (Vec<&String>, Vec<&String>) =
        args.names.iter().partition(|name| Path::new(name).exists());
    let models: Vec<CachedRepository> = match args.names.is_empty() {
        true => store::repositories(&hub.cache)?.into_iter().filter(CachedRepository::is_whisper).collect(),
        false => cached_names.iter().map(|name| cached(&hub, name)).collect::<crate::error::Result<_>>()?,
    };
    let mut all = Vec::new();
    for name in local {
        check_local(name, &hub, output, &mut all)?;
    }
    for model in &models {
        check(model, output, &mut all)?;
    }
    output.clear();
    let text = if args.json { json(&report(&all)) } else { lines(&all) };
    if !text.is_empty() {
        output.print(&text)?;
    }
    if all.is_empty() && !args.json {
        output.notice(&format!("no model in `{}`", hub.cache.display()));
    }
    let wrong = all.iter().find_map(|checked| match &checked.verdict {
        FileVerdict::Wrong(why) => Some((checked, why)),
        _ => None,
    });
    match wrong {
        None => unverified(&all).map_or(Ok(()), |error| Err(error.into())),
        Some((checked, why)) => {
            let fault = ModelProblem::Damaged { file: checked.file.clone(), why: why.clone() };
            Err(Error::model(&checked.model, fault).into())
        }
    }
}

/// Returns the error about the first model of which no file has a checksum.
fn unverified(all: &[VerifiedFile]) -> Option<Error> {
    let is_verified = |model: &str| {
        all.iter().any(|file| file.model == model && matches!(file.verdict, FileVerdict::Right(_)))
    };
    let model = &all.iter().find(|file| !is_verified(&file.model))?.model;
    let files = all.iter().filter(|file| file.model == *model).map(|file| file.file.clone()).collect();
    Some(Error::model(model, ModelProblem::Unverifiable { files }))
}

fn check(model: &CachedRepository, output: &mut ModelsOutput<'_>, all: &mut Vec<VerifiedFile>) -> Result<()> {
    let cancel = output.cancel;
    for revision in &model.revisions {
        for file in &revision.files {
            let label = format!("{}: {}", display_name(model), file.name);
            let total = file.bytes;
            let verdict = file.verify(display_name(model), cancel, &mut |done| {
                output.download(DownloadProgress { file: &label, done, total });
            })?;
            all.push(VerifiedFile {
                model: display_name(model).to_owned(),
                commit: revision.commit.clone(),
                file: file.name.clone(),
                bytes: file.bytes,
                verdict,
            });
        }
    }
    Ok(())
}

/// Checks that a model in a file or folder has all its tensors. There is no checksum to compare its bytes with.
fn check_local(name: &str, hub: &Hub, output: &ModelsOutput<'_>, all: &mut Vec<VerifiedFile>) -> Result<()> {
    let found = source::find(name, None, hub, output.cancel, &mut |_| {})?;
    describe(&found)?;
    all.extend(found.weight_files().iter().map(|path| VerifiedFile {
        model: name.to_owned(),
        commit: "-".into(),
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: path.metadata().map_or(0, |found| found.len()),
        verdict: FileVerdict::Unknown,
    }));
    Ok(())
}

fn lines(all: &[VerifiedFile]) -> String {
    let line = |checked: &VerifiedFile| {
        let result = match &checked.verdict {
            FileVerdict::Right(kind) => format!("ok ({kind} checksum)"),
            FileVerdict::Wrong(why) => format!("DAMAGED: {why}"),
            FileVerdict::Unknown if checked.commit == "-" => "complete; there is no checksum for it".into(),
            FileVerdict::Unknown => "unknown: the cache has no checksum for it".into(),
        };
        format!("{} {} {}: {result}", checked.model, abbreviated(&checked.commit), checked.file)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn report(all: &[VerifiedFile]) -> serde_json::Value {
    let file = |checked: &VerifiedFile| {
        let (verdict, kind, why) = match &checked.verdict {
            FileVerdict::Right(kind) => ("right", Some(*kind), None),
            FileVerdict::Wrong(why) => ("wrong", None, Some(why)),
            FileVerdict::Unknown => ("unknown", None, None),
        };
        json!({
            "model": checked.model, "revision": checked.commit, "file": checked.file, "bytes": checked.bytes,
            "verdict": verdict, "checksum_kind": kind, "why": why,
        })
    };
    let wrong = all.iter().filter(|checked| matches!(checked.verdict, FileVerdict::Wrong(_))).count();
    let unknown = all.iter().filter(|checked| checked.verdict == FileVerdict::Unknown).count();
    json!({ "wrong": wrong, "unknown": unknown, "files": all.iter().map(file).collect::<Vec<_>>() })
}
