//! Writes files completely or not at all, whatever happens meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::digest::sha256_hex;
use crate::error::{Error, Result};

/// Bytes of a name that are kept in the names of its temporary files.
const MAX_PREFIX: usize = 200;

/// Links that are followed to a file; more are a cycle.
const MAX_LINKS: usize = 40;

/// Writes a file and waits until it would survive a power cut. Replaces an existing file atomically and keeps its
/// permissions, follows links, and writes into devices and pipes.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, true).map_err(|source| Error::Output { path: path.into(), source })
}

/// Writes a file in the same way without waiting, for content that is soon replaced.
pub fn write_file_unsynced(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, false).map_err(|source| Error::Output { path: path.into(), source })
}

fn replace(path: &Path, content: &[u8], sync: bool) -> io::Result<()> {
    let path = &target(path)?;
    let existing = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match existing {
        Some(existing) if existing.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Some(existing) if !existing.is_file() => File::options().write(true).open(path)?.write_all(content),
        Some(existing) => swap_in(path, content, Some(existing.permissions()), sync),
        None => swap_in(path, content, None, sync),
    }
}

/// Follows a chain of links to its end, which need not exist yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            // Not a link, or it does not exist.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn swap_in(path: &Path, content: &[u8], permissions: Option<Permissions>, sync: bool) -> io::Result<()> {
    if permissions.as_ref().is_some_and(Permissions::readonly) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = builder(&temporary_prefix(name)).tempfile_in(folder(path))?;
    temporary.write_all(content)?;
    if let Some(permissions) = permissions {
        temporary.as_file().set_permissions(permissions)?;
    }
    if sync {
        temporary.as_file().sync_all()?;
    }
    // The standard library's rename, which tests can make fail. An error removes the temporary file.
    let temporary = temporary.into_temp_path();
    fs::rename(&temporary, path)?;
    // It has another name now.
    let _ = temporary.keep();
    if sync { sync_parent_folder(path) } else { Ok(()) }
}

/// Returns the beginning of the names of temporary files for a file. A long name is shortened, as more is added to it.
fn temporary_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    match name.len() > MAX_PREFIX {
        true => prefix.push(&sha256_hex(name.as_encoded_bytes())[..16]),
        false => prefix.push(name),
    }
    prefix.push(".");
    prefix
}

/// Removes temporary files of processes that were killed while they wrote `path`. The caller must be the only writer.
pub fn remove_temporary_files(path: &Path) {
    let (Some(name), Ok(entries)) = (path.file_name(), fs::read_dir(folder(path))) else { return };
    let prefix = temporary_prefix(name).to_string_lossy().into_owned();
    for entry in entries.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let random = found.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".tmp"));
        if random.is_some_and(|random| random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            // A file that stays only takes up space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Creates temporary files with the permissions of any new file instead of the owner only.
#[cfg(unix)]
fn builder<'p>(prefix: &'p OsStr) -> tempfile::Builder<'p, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".tmp").permissions(Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn builder<'p>(prefix: &'p OsStr) -> tempfile::Builder<'p, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".tmp");
    builder
}

/// Makes a new name survive a power cut. Some file systems cannot, and some folders can be written but not read;
/// that is no error, as the file is complete all the same.
#[cfg(unix)]
pub fn sync_parent_folder(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    match File::open(folder(path)).and_then(|folder| folder.sync_all()) {
        Err(error) if !matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
pub fn sync_parent_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
