//! Lists the files of an inbox and marks those whose names say that they are incomplete.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::tracker::{FileState, InboxFile};
use crate::error::Error;
use crate::plan::{DiscoveredFile, FileListing, NameFilter, list_files};

/// Extensions of incomplete files, and of files that programs put beside one while they write it.
const INCOMPLETE_EXTENSIONS: [&str; 12] = [
    "part",
    "partial",
    "crdownload",
    "download",
    "tmp",
    "temp",
    "lock",
    "lck",
    "aria2",
    "filepart",
    "opdownload",
    "!ut",
];

/// The folder that recordings arrive in.
pub struct Inbox {
    folder: PathBuf,
    recursive: bool,
    filter: NameFilter,
    /// Folders below it that do not belong to it.
    excluded: Vec<PathBuf>,
}

/// The content of an inbox at one moment.
pub struct InboxListing {
    pub files: Vec<InboxFile>,
    /// Folders that could not be read.
    pub failures: Vec<Error>,
}

impl Inbox {
    pub fn new(folder: &Path, recursive: bool, filter: NameFilter, excluded: Vec<PathBuf>) -> Self {
        let excluded = excluded.iter().map(|folder| std::path::absolute(folder).unwrap_or(folder.clone()));
        Self { folder: folder.to_owned(), recursive, filter, excluded: excluded.collect() }
    }

    /// Lists the files. The error says that the inbox itself cannot be read.
    pub fn list(&self) -> io::Result<InboxListing> {
        // Also makes a network share that was away reconnect.
        std::fs::read_dir(&self.folder)?;
        let FileListing { files: found, failures, .. } =
            list_files(&self.folder, self.recursive, &self.filter);
        let names: HashSet<&Path> = found.iter().map(|file| file.path.as_path()).collect();
        let files = found.iter().filter(|file| self.contains(&file.path)).filter_map(|file| {
            let DiscoveredFile { path, subfolder } = file.clone();
            // A file that has gone since is left out.
            let state = FileState::of(&path.metadata().ok()?);
            let is_incomplete =
                has_incomplete_name(&path) || companions(&path).any(|other| names.contains(other.as_path()));
            Some(InboxFile { path, subfolder, state, is_incomplete })
        });
        Ok(InboxListing { files: files.collect(), failures })
    }

    fn contains(&self, path: &Path) -> bool {
        if self.excluded.is_empty() {
            return true;
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        !self.excluded.iter().any(|folder| absolute.starts_with(folder))
    }
}

fn has_incomplete_name(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| INCOMPLETE_EXTENSIONS.contains(&extension.as_str()))
}

/// Returns the names whose presence says that the file beside them is incomplete.
fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    INCOMPLETE_EXTENSIONS.iter().map(move |extension| {
        let mut name = OsString::from(path.file_name().unwrap_or_default());
        name.push(".");
        name.push(extension);
        path.with_file_name(name)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn incomplete(inbox: &Inbox) -> Vec<(String, bool)> {
        let files = inbox.list().unwrap().files.into_iter();
        files
            .map(|file| (file.path.file_name().unwrap().to_str().unwrap().into(), file.is_incomplete))
            .collect()
    }

    #[test]
    fn names_mark_incomplete_files() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in
            ["a.wav", "b.wav", "b.wav.part", "c.mp3.crdownload", ".hidden.wav", "done/d.wav", "sub/e.wav"]
        {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "x").unwrap();
        }
        let filter = || NameFilter::new(&[], &[]).unwrap();
        let flat = Inbox::new(folder.path(), false, filter(), Vec::new());
        let found = [("a.wav", false), ("b.wav", true), ("b.wav.part", true), ("c.mp3.crdownload", true)];
        let found = found.map(|(name, is_incomplete)| (name.to_owned(), is_incomplete));
        assert_eq!(incomplete(&flat), found);
        let deep = Inbox::new(folder.path(), true, filter(), vec![at("done")]);
        assert_eq!(incomplete(&deep).last().unwrap().0, "e.wav");
        assert_eq!(deep.list().unwrap().files.last().unwrap().subfolder, Path::new("sub"));
        let missing = Inbox::new(&at("missing"), true, filter(), Vec::new());
        assert!(missing.list().is_err());
    }
}
