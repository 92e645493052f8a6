//! Writes a file whole or not at all, whatever happens meanwhile. Knows no format.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How many links may lead to the file; more are a circle.
const LINKS: usize = 40;

/// Makes `path` a file with this content. A file that was there is replaced at once and keeps its permissions;
/// a link is followed; what is no file (a device, a pipe) is written into.
pub fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, true).map_err(|source| Error::Output { path: path.into(), source })
}

/// The same for what is written again and again, and need not outlast a failure of the power.
pub fn write_file_unsynced(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content, false).map_err(|source| Error::Output { path: path.into(), source })
}

fn replace(path: &Path, content: &[u8], lasts: bool) -> io::Result<()> {
    let path = &target(path)?;
    let existing = match fs::metadata(path) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match existing {
        Some(existing) if existing.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Some(existing) if !existing.is_file() => File::options().write(true).open(path)?.write_all(content),
        Some(existing) => swap_in(path, content, Some(existing.permissions()), lasts),
        None => swap_in(path, content, None, lasts),
    }
}

/// The end of a chain of links, which need not exist yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            // Not there, or no link: this is the place.
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

fn swap_in(path: &Path, content: &[u8], permissions: Option<Permissions>, lasts: bool) -> io::Result<()> {
    if permissions.as_ref().is_some_and(Permissions::readonly) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let mut temporary = builder(&prefix).tempfile_in(folder(path))?;
    temporary.write_all(content)?;
    if let Some(permissions) = permissions {
        temporary.as_file().set_permissions(permissions)?;
    }
    if lasts {
        temporary.as_file().sync_all()?;
    }
    temporary.persist(path).map_err(|error| error.error)?;
    if lasts { sync_parent_folder(path) } else { Ok(()) }
}

/// Removes what is left of attempts to write `path` that were killed. Only for one who alone may write it.
pub fn remove_temporary_files(path: &Path) {
    let (Some(name), Ok(entries)) = (path.file_name(), fs::read_dir(folder(path))) else { return };
    let prefix = format!(".{}.", name.to_string_lossy());
    for entry in entries.flatten() {
        let found = entry.file_name().to_string_lossy().into_owned();
        let random = found.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".tmp"));
        if random.is_some_and(|random| random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric()))
        {
            // Left over, it only takes up room.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Temporary files of the permissions that any new file gets; the usual ones would be the owner's alone.
#[cfg(unix)]
fn builder<'p>(prefix: &'p std::ffi::OsStr) -> tempfile::Builder<'p, 'static> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".tmp").permissions(Permissions::from_mode(0o666));
    builder
}

#[cfg(not(unix))]
fn builder<'p>(prefix: &'p std::ffi::OsStr) -> tempfile::Builder<'p, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".tmp");
    builder
}

/// Makes a new name last. Some file systems cannot, and some folders may be written but not read: the file
/// is whole all the same.
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
