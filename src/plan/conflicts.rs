//! Finds outputs that two inputs would write, and outputs that would overwrite an input.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{InputSource, PlannedInput};
use crate::decode::Language;
use crate::error::Error;

/// Returns a fault for every input with such an output or journal.
pub fn find(items: &[PlannedInput]) -> Vec<Error> {
    let mut paths = CanonicalPaths::default();
    let mut inputs: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    for item in items {
        if let InputSource::File(path) = &item.source {
            inputs.insert(paths.canonical(path), item);
        }
    }
    let mut writers: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    let mut faults = Vec::new();
    let is_mixed = items.iter().any(|item| !item.is_named_by_language());
    for item in items {
        for path in possible_outputs(item, is_mixed).iter().chain(&item.journal) {
            let canonical = paths.canonical(path);
            let fault = match (inputs.get(&canonical), writers.get(&canonical)) {
                (Some(_), _) => Some(overwritten(path)),
                (None, Some(other)) => Some(clash(path, other, item)),
                (None, None) => None,
            };
            writers.insert(canonical, item);
            if let Some(fault) = fault {
                faults.push(fault);
                // One fault per input is enough.
                break;
            }
        }
    }
    faults
}

/// Returns the outputs of an input; where their language is not known, those of all languages if other names are fixed.
fn possible_outputs(item: &PlannedInput, is_mixed: bool) -> Vec<PathBuf> {
    if !item.is_named_by_language() || !is_mixed {
        return item.outputs.iter().map(|(_, path)| path.clone()).collect();
    }
    let paths = |language| item.patterns.iter().map(move |(_, pattern)| pattern.path(language));
    Language::all().map(Language::code).flat_map(paths).collect()
}

fn overwritten(path: &Path) -> Error {
    Error::Usage {
        what: format!("`{}`", path.display()),
        why: "is an input and would be overwritten".into(),
        hint: Some(
            "choose another folder with `--output-dir` or other names with `--output-template`".into(),
        ),
    }
}

fn clash(path: &Path, other: &PlannedInput, item: &PlannedInput) -> Error {
    let (one, two) = (other.name(), item.name());
    let (why, hint) = if other == item {
        (
            format!("would be written twice for `{one}`"),
            "give each format its own file with `{ext}` in `--output-template`",
        )
    } else if other.source == item.source {
        (
            format!("would be written twice for `{one}`, with different settings"),
            "give each line of the manifest its own `outputs`, or add `{id}`, `{task}` or `{language}` to `--output-template`",
        )
    } else if folder(other) == folder(item) {
        (
            format!("would be written for both `{one}` and `{two}`"),
            "keep their extensions with `--output-template {name}.{ext}`, or run them separately, each with its own `--output-dir`",
        )
    } else {
        (
            format!("would be written for both `{one}` and `{two}`"),
            "add their folders with `--output-template {parent}/{stem}.{ext}`, or leave out `--output-dir` and `--flat`",
        )
    };
    Error::Usage { what: format!("`{}`", path.display()), why, hint: Some(hint.into()) }
}

fn folder(item: &PlannedInput) -> Option<&Path> {
    match &item.source {
        InputSource::Stdin => None,
        InputSource::File(path) => path.parent(),
    }
}

/// Maps every spelling of a path to the same path.
#[derive(Default)]
struct CanonicalPaths {
    folders: HashMap<PathBuf, PathBuf>,
}

impl CanonicalPaths {
    /// Also takes files that do not exist yet.
    fn canonical(&mut self, path: &Path) -> PathBuf {
        let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if let Some(real) = is_link.then(|| path.canonicalize().ok()).flatten() {
            return fold_case(real);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = self.folders.entry(folder.to_owned()).or_insert_with(|| real_folder(folder));
        fold_case(real.join(path.file_name().unwrap_or_default()))
    }
}

/// Resolves the part of the path that exists.
fn real_folder(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => real.join(absolute.strip_prefix(above).unwrap_or(Path::new(""))),
        None => absolute,
    }
}

/// Lowers the case on systems whose file names ignore it.
fn fold_case(path: PathBuf) -> PathBuf {
    if cfg!(any(windows, target_os = "macos")) {
        return path.to_string_lossy().to_lowercase().into();
    }
    path
}
