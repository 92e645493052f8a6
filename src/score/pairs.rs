//! Pairs reference files with hypothesis files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::speakers::{is_rttm, is_stm};
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

/// What is wanted of files of one name in several formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairPreference {
    /// The most informative text. Turns are taken if the other side has nothing else.
    Text,
    /// Who speaks when.
    Turns,
}

/// Pairs two files, or the files of two folders that have the same name, whatever their format.
pub fn find_pairs(
    reference: &Path,
    hypothesis: &Path,
    preference: PairPreference,
) -> Result<Vec<TranscriptPair>> {
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
        (true, true) => pair_folders(reference, hypothesis, preference),
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

fn pair_folders(
    reference: &Path,
    hypothesis: &Path,
    preference: PairPreference,
) -> Result<Vec<TranscriptPair>> {
    let (references, mut hypotheses) = (candidates(reference)?, candidates(hypothesis)?);
    let expected = |folder: &Path, name: &str, like: &Path| {
        let mut path = folder.join(name).into_os_string();
        path.push(".");
        path.push(like.extension().unwrap_or_default());
        PathBuf::from(path)
    };
    let mut pairs = Vec::new();
    for (name, found) in references {
        let (reference, hypothesis, missing_in) = match hypotheses.remove(&name) {
            Some(others) => {
                let (reference, hypothesis) = choose(found, others, preference);
                (reference, hypothesis, None)
            }
            None => {
                let found = best(found, preference);
                (found.clone(), expected(hypothesis, &name, &found), Some(hypothesis.into()))
            }
        };
        pairs.push(TranscriptPair { name, reference, hypothesis, missing_in });
    }
    pairs.extend(hypotheses.into_iter().map(|(name, found)| {
        let found = best(found, preference);
        TranscriptPair {
            reference: expected(reference, &name, &found),
            name,
            hypothesis: found,
            missing_in: Some(reference.into()),
        }
    }));
    pairs.sort_by(|a, b| a.name.cmp(&b.name));
    if pairs.is_empty() {
        return Err(Error::Usage {
            what: format!("`{}` and `{}`", reference.display(), hypothesis.display()),
            why: "no transcripts found".into(),
            hint: Some("supported: files ending in json, vtt, srt, tsv, txt, rttm or stm".into()),
        });
    }
    Ok(pairs)
}

/// Chooses from the files of one name on both sides.
fn choose(
    references: Vec<PathBuf>,
    hypotheses: Vec<PathBuf>,
    preference: PairPreference,
) -> (PathBuf, PathBuf) {
    let (reference, hypothesis) =
        (best(references.clone(), preference), best(hypotheses.clone(), preference));
    match is_rttm(&reference) || is_rttm(&hypothesis) {
        // There is no text to compare.
        true => (best(references, PairPreference::Turns), best(hypotheses, PairPreference::Turns)),
        false => (reference, hypothesis),
    }
}

/// Returns the preferred one of the files of one name.
fn best(files: Vec<PathBuf>, preference: PairPreference) -> PathBuf {
    let rank = |path: &PathBuf| match ImportFormat::of(path) {
        // Written by hand, for this purpose.
        None if is_stm(path) => 1,
        None if preference == PairPreference::Turns => 0,
        None => usize::MAX,
        Some(format) => 2 + ImportFormat::ALL.iter().position(|other| *other == format).unwrap_or_default(),
    };
    files.into_iter().min_by_key(rank).unwrap_or_default()
}

/// Lists transcripts and RTTM files by their path below the folder without extension.
fn candidates(folder: &Path) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
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
            let is_transcript = ImportFormat::of(&path).is_some_and(|format| format != ImportFormat::Html);
            if is_transcript || is_rttm(&path) || is_stm(&path) {
                let name = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
                found.entry(name.to_string_lossy().into_owned()).or_default().push(path);
            }
        }
    }
    // The order in which a folder lists its files differs between systems.
    found.values_mut().for_each(|files| files.sort_unstable());
    Ok(found)
}
