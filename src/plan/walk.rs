//! Lists the recordings in a folder, and the files that match a pattern.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use globset::GlobMatcher;
use rayon::prelude::*;
use walkdir::{DirEntry, WalkDir};

use super::filter::{NameFilter, glob};
use crate::audio::is_recording;
use crate::error::{Error, InputProblem};

/// A file that was found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredFile {
    pub path: PathBuf,
    /// The folders between the one that was named and the file.
    pub subfolder: PathBuf,
}

/// Files in the order of their names.
#[derive(Debug, Default)]
pub struct FileListing {
    pub files: Vec<DiscoveredFile>,
    /// What could not be read.
    pub failures: Vec<Error>,
    /// There are folders below the one that was listed.
    pub has_folders: bool,
}

/// Lists the recordings in a folder; with `recursive`, also in those below it. Skips hidden files and folders.
pub fn list_recordings(folder: &Path, recursive: bool, filter: &NameFilter) -> FileListing {
    let listing = list_files(folder, recursive, filter);
    let recordings = listing.files.into_par_iter().filter(|file| is_recording(&file.path)).collect();
    FileListing { files: recordings, ..listing }
}

/// Lists all files in a folder in the same way.
pub fn list_files(folder: &Path, recursive: bool, filter: &NameFilter) -> FileListing {
    let mut listing = FileListing::default();
    let depth = if recursive { usize::MAX } else { 1 };
    let relative = |entry: &DirEntry| relative_to(folder, entry.path());
    let entries = WalkDir::new(folder).follow_links(true).max_depth(depth).sort_by_file_name().into_iter();
    let is_included = |entry: &DirEntry| {
        entry.depth() == 0 || !(is_hidden(entry.file_name()) || filter.excludes(&relative(entry)))
    };
    for entry in entries.filter_entry(is_included) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => listing.has_folders |= entry.depth() > 0,
            Ok(entry) if entry.file_type().is_file() && filter.includes(&relative(&entry)) => {
                let subfolder = relative(&entry).parent().map(Path::to_path_buf).unwrap_or_default();
                listing.files.push(DiscoveredFile { path: entry.into_path(), subfolder });
            }
            Ok(_) => {}
            Err(error) => listing.failures.extend(failure(error)),
        }
    }
    listing
}

fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Returns the error to report, if any: a link to a folder above it leads to nothing new, and a broken link matters only
/// if it is named like a recording.
fn failure(error: walkdir::Error) -> Option<Error> {
    let path = error.path()?;
    let is_broken = error.io_error().is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound);
    let is_irrelevant = is_broken && (!is_recording(path) || path.file_name().is_some_and(is_hidden));
    if is_irrelevant || error.loop_ancestor().is_some() {
        return None;
    }
    let path = path.display().to_string();
    error.into_io_error().map(|cause| Error::input(path, InputProblem::Unreadable(cause)))
}

/// Returns whether a name that does not exist may be a pattern.
pub fn is_pattern(argument: &Path) -> bool {
    argument.as_os_str().as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

/// Lists the files that match a pattern, as a shell would.
pub fn list_matching(pattern: &str) -> Result<FileListing, globset::Error> {
    let pattern = if cfg!(windows) { pattern.replace('\\', "/") } else { pattern.to_owned() };
    let parts: Vec<&str> = pattern.split('/').collect();
    let first = parts.iter().position(|part| is_pattern(Path::new(part))).unwrap_or(parts.len());
    let (fixed, magic) = (parts[..first].join("/"), parts[first..].join("/"));
    let matcher: GlobMatcher = glob(&magic, false)?.compile_matcher();
    let root = match (fixed.as_str(), first) {
        (_, 0) => PathBuf::from("."),
        // The pattern begins with a slash.
        ("", _) => PathBuf::from("/"),
        (fixed, _) => PathBuf::from(fixed),
    };
    let depth = if magic.contains("**") { usize::MAX } else { parts.len() - first };
    let matches_hidden = parts[first..].iter().any(|part| part.starts_with('.'));
    let mut listing = FileListing::default();
    let entries = WalkDir::new(&root).follow_links(true).max_depth(depth).sort_by_file_name().into_iter();
    for entry in entries.filter_entry(|e| e.depth() == 0 || matches_hidden || !is_hidden(e.file_name())) {
        match entry {
            Ok(entry)
                if !entry.file_type().is_dir() && matcher.is_match(relative_to(&root, entry.path())) =>
            {
                let path = if first == 0 { relative_to(&root, entry.path()) } else { entry.into_path() };
                listing.files.push(DiscoveredFile { path, subfolder: PathBuf::new() });
            }
            Ok(_) => {}
            // The folder does not exist, so nothing matches.
            Err(error) if error.depth() == 0 => {}
            Err(error) => listing.failures.extend(failure(error)),
        }
    }
    Ok(listing)
}
