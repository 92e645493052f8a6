//! Hours of work should not end at a folder that cannot be written.

use std::path::Path;

use super::Item;
use crate::error::Error;

/// Makes the folders that are missing, and tries whether something can be written there.
pub fn check(items: &[Item]) -> Vec<Error> {
    let mut folders: Vec<&Path> = items
        .iter()
        .filter_map(|item| item.outputs.first()?.1.parent())
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .collect();
    folders.sort();
    folders.dedup();
    let try_out = |folder: &Path| {
        std::fs::create_dir_all(folder)?;
        tempfile::Builder::new().prefix(".transcribe-").tempfile_in(folder).map(drop)
    };
    let fault = |folder: &Path| {
        let source = try_out(folder).err()?;
        Some(Error::Output { path: folder.to_owned(), source })
    };
    folders.into_iter().filter_map(fault).collect()
}
