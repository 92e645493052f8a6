//! Two inputs must not write the same file, and none may write over an input.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{InputSource, PlannedInput};
use crate::error::Error;

pub fn clashes(items: &[PlannedInput]) -> Vec<Error> {
    let mut places = Places::default();
    let mut inputs: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    for item in items {
        if let InputSource::File(path) = &item.source {
            inputs.insert(places.real(path), item);
        }
    }
    let mut writers: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    let mut faults = Vec::new();
    for item in items {
        for path in item.outputs.iter().map(|(_, path)| path).chain(&item.journal) {
            let place = places.real(path);
            let fault = match (inputs.get(&place), writers.get(&place)) {
                (Some(_), _) => Some(overwritten(path)),
                (None, Some(other)) => Some(clash(path, other, item)),
                (None, None) => None,
            };
            writers.insert(place, item);
            if let Some(fault) = fault {
                faults.push(fault);
                // One fault per input says enough.
                break;
            }
        }
    }
    faults
}

fn overwritten(path: &Path) -> Error {
    Error::Usage {
        what: format!("`{}`", path.display()),
        why: "is an input and would be overwritten".into(),
        hint: Some(
            "choose another folder with `--output-dir`, or other names with `--output-template`".into(),
        ),
    }
}

fn clash(path: &Path, other: &PlannedInput, item: &PlannedInput) -> Error {
    let (one, two) = (other.name(), item.name());
    let (why, hint) = if other == item {
        (
            format!("would be written twice for `{one}`"),
            "give each format a file of its own; `{ext}` in `--output-template` does it",
        )
    } else if other.source == item.source {
        (
            format!("would be written for `{one}` twice, in two ways"),
            "give each line of the manifest `outputs` of its own, or tell them apart with `{id}`, `{task}` or `{language}` in `--output-template`",
        )
    } else if folder(other) == folder(item) {
        (
            format!("would be written for both `{one}` and `{two}`"),
            "keep their endings with `--output-template {name}.{ext}`, or do them one after the other, each with its own `--output-dir`",
        )
    } else {
        (
            format!("would be written for both `{one}` and `{two}`"),
            "tell them apart with `--output-template {parent}/{stem}.{ext}`, or leave out `--output-dir` and `--flat`",
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

/// Paths, the same for every way to write them.
#[derive(Default)]
struct Places {
    folders: HashMap<PathBuf, PathBuf>,
}

impl Places {
    /// Also of a file that is not there yet.
    fn real(&mut self, path: &Path) -> PathBuf {
        let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if let Some(real) = is_link.then(|| path.canonicalize().ok()).flatten() {
            return plain(real);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = self.folders.entry(folder.to_owned()).or_insert_with(|| real_folder(folder));
        plain(real.join(path.file_name().unwrap_or_default()))
    }
}

/// One that is not there yet is compared as it is written, from where it begins to be missing.
fn real_folder(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let there = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match there {
        Some((above, real)) => real.join(absolute.strip_prefix(above).unwrap_or(Path::new(""))),
        None => absolute,
    }
}

/// Where the case of letters tells no files apart.
fn plain(path: PathBuf) -> PathBuf {
    if cfg!(any(windows, target_os = "macos")) {
        return path.to_string_lossy().to_lowercase().into();
    }
    path
}
