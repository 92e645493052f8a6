//! Which files another process has open for writing, as far as the system reveals it.

use std::collections::HashSet;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub fn open_for_writing(paths: &[PathBuf]) -> HashSet<PathBuf> {
    use std::collections::HashMap;
    use std::ffi::OsStr;
    use std::path::Path;
    let real = |path: &PathBuf| Some((path.canonicalize().ok()?, path.clone()));
    let wanted: HashMap<PathBuf, PathBuf> = paths.iter().filter_map(real).collect();
    let mut found = HashSet::new();
    if wanted.is_empty() {
        return found;
    }
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_number = |name: &OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    for process in entries(Path::new("/proc")).filter(|entry| is_number(&entry.file_name())) {
        // Processes of other users cannot be inspected and are passed over.
        for open in entries(&process.path().join("fd")) {
            let Some(path) = std::fs::read_link(open.path()).ok().and_then(|target| wanted.get(&target))
            else {
                continue;
            };
            let info = std::fs::read_to_string(process.path().join("fdinfo").join(open.file_name()));
            if info.is_ok_and(|info| is_writable(&info)) {
                found.insert(path.clone());
            }
        }
    }
    found
}

/// Reads the access mode from a `fdinfo` file: the lowest two bits of the flags are 1 or 2 for writers.
#[cfg(target_os = "linux")]
fn is_writable(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 3 != 0)
}

#[cfg(windows)]
pub fn open_for_writing(paths: &[PathBuf]) -> HashSet<PathBuf> {
    use std::os::windows::fs::OpenOptionsExt;
    /// Fails if another process has the file open for writing.
    const FILE_SHARE_READ: u32 = 1;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let is_written = |path: &&PathBuf| {
        let opened = std::fs::File::options().read(true).share_mode(FILE_SHARE_READ).open(path);
        opened.is_err_and(|error| error.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
    };
    paths.iter().filter(is_written).cloned().collect()
}

/// Other systems do not reveal it.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn open_for_writing(_: &[PathBuf]) -> HashSet<PathBuf> {
    HashSet::new()
}

#[cfg(all(test, any(target_os = "linux", windows)))]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn finds_writers_and_ignores_readers() {
        let folder = tempfile::tempdir().unwrap();
        let (written, read) = (folder.path().join("written"), folder.path().join("read"));
        let writer = fs::File::create(&written).unwrap();
        fs::write(&read, "x").unwrap();
        let reader = fs::File::open(&read).unwrap();
        let both = [written.clone(), read];
        assert_eq!(open_for_writing(&both), HashSet::from([written]));
        drop((writer, reader));
        assert!(open_for_writing(&both).is_empty());
    }
}
