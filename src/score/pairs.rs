//! Pairs reference files with hypothesis files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, InputProblem, Result};
use crate::import::ImportFormat;

/// A reference and the hypothesis to compare with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TranscriptPair {
    pub name: String,
    pub reference: PathBuf,
    pub hypothesis: PathBuf,
}

/// Maximum unpaired files to name in an error.
const MAX_NAMED: usize = 3;

/// Pairs two files, or the files of two folders that have the same name, whatever their format.
pub fn find_pairs(reference: &Path, hypothesis: &Path) -> Result<Vec<TranscriptPair>> {
    match (is_folder(reference)?, is_folder(hypothesis)?) {
        (false, false) => {
            let name = hypothesis.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(vec![TranscriptPair { name, reference: reference.into(), hypothesis: hypothesis.into() }])
        }
        (true, true) => pair_folders(reference, hypothesis),
        _ => Err(Error::Usage {
            what: format!("`{}` and `{}`", reference.display(), hypothesis.display()),
            why: "a folder cannot be compared with a file".into(),
            hint: Some("pass two files or two folders".into()),
        }),
    }
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::input(path.display().to_string(), InputProblem::Unreadable(error))
}

fn is_folder(path: &Path) -> Result<bool> {
    fs::metadata(path).map(|found| found.is_dir()).map_err(|error| unreadable(path, error))
}

fn pair_folders(reference: &Path, hypothesis: &Path) -> Result<Vec<TranscriptPair>> {
    let (references, mut hypotheses) = (transcripts(reference)?, transcripts(hypothesis)?);
    let mut pairs = Vec::new();
    let mut unpaired = Vec::new();
    for (name, reference) in references {
        match hypotheses.remove(&name) {
            Some(hypothesis) => pairs.push(TranscriptPair { name, reference, hypothesis }),
            None => unpaired.push(reference),
        }
    }
    unpaired.extend(hypotheses.into_values());
    let list = |paths: &[PathBuf]| {
        let names: Vec<String> =
            paths.iter().take(MAX_NAMED).map(|path| format!("`{}`", path.display())).collect();
        let more = paths.len().saturating_sub(MAX_NAMED);
        names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    if !unpaired.is_empty() {
        return Err(Error::Usage {
            what: list(&unpaired),
            why: "no file of that name in the other folder".into(),
            hint: Some(
                "paired files differ only in folder and extension, such as `truth/talk.txt` and `made/talk.srt`"
                    .into(),
            ),
        });
    }
    if pairs.is_empty() {
        return Err(Error::Usage {
            what: list(&[reference.into(), hypothesis.into()]),
            why: "no transcripts found".into(),
            hint: Some("supported: files ending in json, vtt, srt, tsv or txt".into()),
        });
    }
    Ok(pairs)
}

/// Lists transcripts by path below the folder without extension. Among several formats of one name, picks the most
/// informative.
fn transcripts(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(current) = folders.pop() {
        let entries = fs::read_dir(&current).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in entries.map_err(|error| unreadable(&current, error))? {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // Links to folders are not followed: they may form cycles.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            // Pages may be of any program.
            let format = ImportFormat::of(&path).filter(|format| *format != ImportFormat::Html);
            let Some(format) = format else { continue };
            let name =
                path.strip_prefix(folder).unwrap_or(&path).with_extension("").to_string_lossy().into_owned();
            let rank = |format: ImportFormat| ImportFormat::ALL.iter().position(|other| *other == format);
            match found.get(&name).and_then(|existing| ImportFormat::of(existing)) {
                Some(existing) if rank(existing) <= rank(format) => {}
                _ => drop(found.insert(name, path)),
            }
        }
    }
    Ok(found)
}
