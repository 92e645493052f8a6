//! The recordings in a folder, and the files that a pattern stands for.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use super::filter::{Filter, glob};
use crate::audio::is_recording;
use crate::error::{Error, InputProblem};

/// What was found, in the order of names.
#[derive(Debug, Default)]
pub struct FileListing {
    /// Files, and the folders between the one that was named and each of them.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// What could not be looked into.
    pub failures: Vec<Error>,
    /// There are folders that were not asked for.
    pub has_folders: bool,
}

/// The recordings in a folder; with `deep`, in those below it too. Hidden files and folders are left alone.
pub fn folder(folder: &Path, deep: bool, filter: &Filter) -> FileListing {
    let walk = files(folder, deep, filter);
    let recordings = walk.files.into_par_iter().filter(|(path, _)| is_recording(path)).collect();
    FileListing { files: recordings, ..walk }
}

/// The same, whatever the files are.
pub fn files(folder: &Path, deep: bool, filter: &Filter) -> FileListing {
    let mut walk = FileListing::default();
    let depth = if deep { usize::MAX } else { 1 };
    let below = |entry: &DirEntry| below(folder, entry.path());
    let entries = WalkDir::new(folder).follow_links(true).max_depth(depth).sort_by_file_name().into_iter();
    let wanted = |entry: &DirEntry| {
        entry.depth() == 0 || !(is_hidden(entry.file_name()) || filter.leaves_out(&below(entry)))
    };
    for entry in entries.filter_entry(wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => walk.has_folders |= entry.depth() > 0,
            Ok(entry) if entry.file_type().is_file() && filter.takes(&below(&entry)) => {
                let folders = below(&entry).parent().map(Path::to_path_buf).unwrap_or_default();
                walk.files.push((entry.into_path(), folders));
            }
            Ok(_) => {}
            Err(error) => walk.failures.extend(failure(error)),
        }
    }
    walk
}

fn below(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// A link back to a folder above leads to nothing new, nor does one to nowhere that is not called like a recording;
/// anything else may hide some.
fn failure(error: walkdir::Error) -> Option<Error> {
    let path = error.path()?;
    let is_lost = error.io_error().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound);
    let is_idle = is_lost && (!is_recording(path) || path.file_name().is_some_and(is_hidden));
    if is_idle || error.loop_ancestor().is_some() {
        return None;
    }
    let path = path.display().to_string();
    error.into_io_error().map(|cause| Error::input(path, InputProblem::Unreadable(cause)))
}

/// Whether a name that leads nowhere may be meant as a pattern.
pub fn is_pattern(argument: &Path) -> bool {
    argument.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

/// The files that a pattern stands for, as a shell would find them.
pub fn matching(pattern: &str) -> Result<FileListing, globset::Error> {
    let pattern = if cfg!(windows) { pattern.replace('\\', "/") } else { pattern.to_owned() };
    let parts: Vec<&str> = pattern.split('/').collect();
    let first = parts.iter().position(|part| is_pattern(Path::new(part))).unwrap_or(parts.len());
    let (plain, magic) = (parts[..first].join("/"), parts[first..].join("/"));
    let matcher: GlobMatcher = glob(&magic, false)?.compile_matcher();
    let root = match (plain.as_str(), first) {
        (_, 0) => PathBuf::from("."),
        // What stands before the first slash, if nothing does.
        ("", _) => PathBuf::from("/"),
        (plain, _) => PathBuf::from(plain),
    };
    let depth = if magic.contains("**") { usize::MAX } else { parts.len() - first };
    let takes_hidden = parts[first..].iter().any(|part| part.starts_with('.'));
    let mut walk = FileListing::default();
    let entries = WalkDir::new(&root).follow_links(true).max_depth(depth).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|e| e.depth() == 0 || takes_hidden || !is_hidden(e.file_name())) {
        match entry {
            Ok(entry) if !entry.file_type().is_dir() && matcher.is_match(below(&root, entry.path())) => {
                let path = if first == 0 { below(&root, entry.path()) } else { entry.into_path() };
                walk.files.push((path, PathBuf::new()));
            }
            Ok(_) => {}
            // Nothing to look in: then nothing matches.
            Err(error) if error.depth() == 0 => {}
            Err(error) => walk.failures.extend(failure(error)),
        }
    }
    Ok(walk)
}
