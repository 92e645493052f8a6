//! Hours of work should not end at a folder that cannot be written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::PlannedInput;
use crate::error::Error;

/// Makes the folders that are missing, and tries whether something can be written there. Inputs whose folder is of no
/// use are taken out and their failures told, unless there never were others: then all of it is pointless.
pub fn check(items: &mut Vec<PlannedInput>) -> Result<Vec<Error>, Vec<Error>> {
    let mut folders: BTreeMap<PathBuf, Option<io::Error>> = BTreeMap::new();
    for item in items.iter().filter(|item| !item.is_done) {
        for (_, path) in &item.outputs {
            folders.entry(folder(path).to_owned()).or_insert_with_key(|folder| try_out(folder).err());
        }
    }
    let is_some_done = items.iter().any(|item| item.is_done);
    if !folders.is_empty() && !is_some_done && folders.values().all(Option::is_some) {
        let faults = folders.into_iter();
        return Err(faults
            .filter_map(|(path, error)| Some(Error::Output { path, source: error? }))
            .collect());
    }
    let mut failures = Vec::new();
    items.retain(|item| {
        let outputs = item.outputs.iter().filter(|_| !item.is_done);
        let fault = outputs.map(|(_, path)| path).find_map(|path| {
            let source = copy(folders.get(folder(path))?.as_ref()?);
            Some(Error::Output { path: path.clone(), source })
        });
        let is_fine = fault.is_none();
        failures.extend(fault);
        is_fine
    });
    Ok(failures)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn try_out(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder).map(drop)
}

/// For each of the inputs that it concerns.
fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
