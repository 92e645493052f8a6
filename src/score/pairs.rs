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
    /// The folder that lacks one of the two, whose path is then where it was expected.
    pub missing_in: Option<PathBuf>,
}

impl TranscriptPair {
    /// Fails if one of the two is missing.
    pub fn check(&self) -> Result<()> {
        let Some(folder) = &self.missing_in else { return Ok(()) };
        let present = if self.reference.exists() { &self.reference } else { &self.hypothesis };
        let folder = folder.display().to_string();
        Err(Error::input(present.display().to_string(), InputProblem::Unpaired { folder }))
    }
}

/// Pairs two files, or the files of two folders that have the same name, whatever their format.
pub fn find_pairs(reference: &Path, hypothesis: &Path) -> Result<Vec<TranscriptPair>> {
    let is_reference_folder = is_folder(reference)?;
    // A missing file is reported as the error of its pair.
    let is_hypothesis_folder = match hypothesis.try_exists() {
        Ok(false) if !is_reference_folder => false,
        _ => is_folder(hypothesis)?,
    };
    match (is_reference_folder, is_hypothesis_folder) {
        (false, false) => {
            let name = hypothesis.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Ok(vec![TranscriptPair {
                name,
                reference: reference.into(),
                hypothesis: hypothesis.into(),
                missing_in: None,
            }])
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
    let expected = |folder: &Path, name: &str, like: &Path| {
        let mut path = folder.join(name).into_os_string();
        path.push(".");
        path.push(like.extension().unwrap_or_default());
        PathBuf::from(path)
    };
    let mut pairs = Vec::new();
    for (name, found) in references {
        pairs.push(match hypotheses.remove(&name) {
            Some(hypothesis) => TranscriptPair { name, reference: found, hypothesis, missing_in: None },
            None => TranscriptPair {
                hypothesis: expected(hypothesis, &name, &found),
                name,
                reference: found,
                missing_in: Some(hypothesis.into()),
            },
        });
    }
    pairs.extend(hypotheses.into_iter().map(|(name, found)| TranscriptPair {
        reference: expected(reference, &name, &found),
        name,
        hypothesis: found,
        missing_in: Some(reference.into()),
    }));
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    if pairs.is_empty() {
        return Err(Error::Usage {
            what: format!("`{}` and `{}`", reference.display(), hypothesis.display()),
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
