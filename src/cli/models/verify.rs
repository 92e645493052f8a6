//! `transcribe models verify`

use clap::Args;
use serde_json::json;

use super::{Stage, cached, called, json, say, short};
use crate::error::{Error, ModelProblem, Result};
use crate::models::hub::Download;
use crate::models::hub::Hub;
use crate::models::hub::store::{self, Repository, Verdict};

/// Read every byte of cached models and compare the checksums that the hub has told
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Sizes or hub repositories [default: all Whisper models of the cache]
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found of one file.
struct Checked {
    model: String,
    commit: String,
    file: String,
    bytes: u64,
    verdict: Verdict,
}

pub fn run(args: &VerifyArgs, stage: &mut Stage<'_>) -> Result<()> {
    let hub = Hub::from_env(true);
    let models: Vec<Repository> = match args.names.is_empty() {
        true => store::repositories(&hub.cache)?.into_iter().filter(Repository::is_whisper).collect(),
        false => args.names.iter().map(|name| cached(&hub, name)).collect::<Result<_>>()?,
    };
    let mut all = Vec::new();
    for model in &models {
        check(model, stage, &mut all)?;
    }
    stage.clear();
    let text = if args.json { json(&report(&all)) } else { lines(&all) };
    if !text.is_empty() {
        say(stage, &text)?;
    }
    if all.is_empty() && !args.json {
        stage.notice(&format!("no model in `{}`", hub.cache.display()));
    }
    let wrong = all.iter().find_map(|checked| match &checked.verdict {
        Verdict::Wrong(why) => Some((checked, why)),
        _ => None,
    });
    match wrong {
        None => Ok(()),
        Some((checked, why)) => {
            let fault = ModelProblem::Damaged { file: checked.file.clone(), why: why.clone() };
            Err(Error::model(&checked.model, fault))
        }
    }
}

fn check(model: &Repository, stage: &mut Stage<'_>, all: &mut Vec<Checked>) -> Result<()> {
    let cancel = stage.cancel;
    for revision in &model.revisions {
        for file in &revision.files {
            let label = format!("{}: {}", called(model), file.name);
            let total = file.bytes;
            let verdict = file.verify(called(model), cancel, &mut |done| {
                stage.download(Download { file: &label, done, total });
            })?;
            all.push(Checked {
                model: called(model).to_owned(),
                commit: revision.commit.clone(),
                file: file.name.clone(),
                bytes: file.bytes,
                verdict,
            });
        }
    }
    Ok(())
}

fn lines(all: &[Checked]) -> String {
    let line = |checked: &Checked| {
        let told = match &checked.verdict {
            Verdict::Right(kind) => format!("right, by its {kind} checksum"),
            Verdict::Wrong(why) => format!("DAMAGED: {why}"),
            Verdict::Unknown => "not known: the cache has no checksum of it".into(),
        };
        format!("{} {} {}: {told}", checked.model, short(&checked.commit), checked.file)
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn report(all: &[Checked]) -> serde_json::Value {
    let file = |checked: &Checked| {
        let (verdict, kind, why) = match &checked.verdict {
            Verdict::Right(kind) => ("right", Some(*kind), None),
            Verdict::Wrong(why) => ("wrong", None, Some(why)),
            Verdict::Unknown => ("unknown", None, None),
        };
        json!({
            "model": checked.model, "revision": checked.commit, "file": checked.file, "bytes": checked.bytes,
            "verdict": verdict, "checksum_kind": kind, "why": why,
        })
    };
    let wrong = all.iter().filter(|checked| matches!(checked.verdict, Verdict::Wrong(_))).count();
    json!({ "wrong": wrong, "files": all.iter().map(file).collect::<Vec<_>>() })
}
