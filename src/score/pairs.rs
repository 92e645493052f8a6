//! Which file is compared with which.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, InputProblem, Result};
use crate::import::ImportFormat;

/// A truth, and what is to be compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptPair {
    pub name: String,
    pub reference: PathBuf,
    pub hypothesis: PathBuf,
}

/// How many missing partners to name.
const NAMED: usize = 3;

/// Two files are a pair; in two folders, files of one name are, whatever their kind.
pub fn find_pairs(reference: &Path, hypothesis: &Path) -> Result<Vec<TranscriptPair>> {
    match (is_folder(reference)?, is_folder(hypothesis)?) {
        (false, false) => {
            let name = hypothesis.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(vec![TranscriptPair { name, reference: reference.into(), hypothesis: hypothesis.into() }])
        }
        (true, true) => of_folders(reference, hypothesis),
        _ => Err(Error::Usage {
            what: format!("`{}` and `{}`", reference.display(), hypothesis.display()),
            why: "a folder and a file are no pair".into(),
            hint: Some("name two files, or two folders".into()),
        }),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::input(path.display().to_string(), InputProblem::Unreadable(error))
}

fn is_folder(path: &Path) -> Result<bool> {
    fs::metadata(path).map(|found| found.is_dir()).map_err(|error| unreadable(path, error))
}

fn of_folders(reference: &Path, hypothesis: &Path) -> Result<Vec<TranscriptPair>> {
    let (truths, mut others) = (transcripts(reference)?, transcripts(hypothesis)?);
    let mut pairs = Vec::new();
    let mut alone = Vec::new();
    for (name, truth) in truths {
        match others.remove(&name) {
            Some(other) => pairs.push(TranscriptPair { name, reference: truth, hypothesis: other }),
            None => alone.push(truth),
        }
    }
    alone.extend(others.into_values());
    let what = |paths: &[PathBuf]| {
        let names: Vec<String> =
            paths.iter().take(NAMED).map(|path| format!("`{}`", path.display())).collect();
        let more = paths.len().saturating_sub(NAMED);
        names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    if !alone.is_empty() {
        return Err(Error::Usage {
            what: what(&alone),
            why: "nothing of that name in the other folder".into(),
            hint: Some(
                "a pair differs in its folder and its ending only: `truth/talk.txt` and `made/talk.srt`"
                    .into(),
            ),
        });
    }
    if pairs.is_empty() {
        return Err(Error::Usage {
            what: what(&[reference.into(), hypothesis.into()]),
            why: "no transcripts in them".into(),
            hint: Some("known are files that end in json, vtt, srt, tsv or txt".into()),
        });
    }
    Ok(pairs)
}

/// By name below the folder, without ending. Of several kinds the one that tells most.
fn transcripts(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(inside) = folders.pop() {
        let entries = fs::read_dir(&inside).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(|error| unreadable(&inside, error))? {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // A link to a folder may lead in circles.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            let Some(kind) = ImportFormat::of(&path) else { continue };
            let name =
                path.strip_prefix(folder).unwrap_or(&path).with_extension("").to_string_lossy().into_owned();
            let rank = |kind: ImportFormat| ImportFormat::ALL.iter().position(|known| *known == kind);
            match found.get(&name).and_then(|known| ImportFormat::of(known)) {
                Some(known) if rank(known) <= rank(kind) => {}
                _ => drop(found.insert(name, path)),
            }
        }
    }
    Ok(found)
}
