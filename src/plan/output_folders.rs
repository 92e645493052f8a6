//! Checks that output folders can be written, before hours of work depend on it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{PlannedInput, UnplannedInput};
use crate::error::Error;

/// Creates missing folders and writes a temporary file into each. Removes inputs whose folder cannot be written and
/// returns their failures; if there are no other inputs, returns the failures as the error.
pub fn check(items: &mut Vec<PlannedInput>) -> Result<Vec<UnplannedInput>, Vec<Error>> {
    let mut folders: BTreeMap<PathBuf, Option<io::Error>> = BTreeMap::new();
    for item in items.iter().filter(|item| !item.is_done) {
        for (_, folder) in item.output_folders() {
            folders.entry(folder).or_insert_with_key(|folder| write_test(folder).err());
        }
    }
    let any_done = items.iter().any(|item| item.is_done);
    if !folders.is_empty() && !any_done && folders.values().all(Option::is_some) {
        let faults = folders.into_iter();
        return Err(faults
            .filter_map(|(path, error)| Some(Error::Output { path, source: error? }))
            .collect());
    }
    let mut failures = Vec::new();
    items.retain(|item| {
        let outputs = item.output_folders().into_iter().filter(|_| !item.is_done);
        let fault = outputs.into_iter().find_map(|(path, folder)| {
            let source = clone_error(folders.get(&folder)?.as_ref()?);
            let error = Error::Output { path: path.to_owned(), source };
            Some(UnplannedInput { name: item.name(), error })
        });
        let is_writable = fault.is_none();
        failures.extend(fault);
        is_writable
    });
    Ok(failures)
}

fn write_test(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder).map(drop)
}

/// Clones an error for each of the inputs it concerns.
fn clone_error(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
