//! The files of an inbox as they are now, and whether somebody still writes them.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::seen::{Look, Sight};
use crate::error::Error;
use crate::plan::{FileListing, Filter, files};

/// What programs call a file that they have not finished, or lay beside one while they write it.
const UNFINISHED: [&str; 12] = [
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

/// Where recordings come in.
pub struct Inbox {
    folder: PathBuf,
    deep: bool,
    filter: Filter,
    /// Folders below it that are no part of it.
    without: Vec<PathBuf>,
}

/// What one look finds.
pub struct View {
    pub sights: Vec<Sight>,
    /// What could not be looked into.
    pub failures: Vec<Error>,
}

impl Inbox {
    pub fn new(folder: &Path, deep: bool, filter: Filter, without: Vec<PathBuf>) -> Self {
        let without = without.iter().map(|folder| std::path::absolute(folder).unwrap_or(folder.clone()));
        Self { folder: folder.to_owned(), deep, filter, without: without.collect() }
    }

    /// The error says that the inbox itself is not there.
    pub fn look(&self) -> io::Result<View> {
        // Also asks a share that was away.
        std::fs::read_dir(&self.folder)?;
        let FileListing { files: found, failures, .. } = files(&self.folder, self.deep, &self.filter);
        let names: HashSet<&Path> = found.iter().map(|(path, _)| path.as_path()).collect();
        let sights = found.iter().filter(|(path, _)| self.is_inside(path)).filter_map(|(path, below)| {
            // One that has gone meanwhile is not there.
            let look = Look::of(&path.metadata().ok()?);
            let is_marked = is_unfinished(path) || beside(path).any(|other| names.contains(other.as_path()));
            Some(Sight { path: path.clone(), below: below.clone(), look, is_marked })
        });
        Ok(View { sights: sights.collect(), failures })
    }

    fn is_inside(&self, path: &Path) -> bool {
        if self.without.is_empty() {
            return true;
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        !self.without.iter().any(|folder| absolute.starts_with(folder))
    }
}

fn is_unfinished(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| UNFINISHED.contains(&ending.as_str()))
}

/// Names that say of the file beside them that it is not whole.
fn beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    UNFINISHED.iter().map(move |ending| {
        let mut name = OsString::from(path.file_name().unwrap_or_default());
        name.push(".");
        name.push(ending);
        path.with_file_name(name)
    })
}

/// Those of the files that some process has open for writing, as far as this one may know.
#[cfg(target_os = "linux")]
pub fn written(paths: &[PathBuf]) -> HashSet<PathBuf> {
    let real = |path: &PathBuf| Some((path.canonicalize().ok()?, path.clone()));
    let wanted: std::collections::HashMap<PathBuf, PathBuf> = paths.iter().filter_map(real).collect();
    let mut found = HashSet::new();
    if wanted.is_empty() {
        return found;
    }
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_number = |name: &OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    for process in entries(Path::new("/proc")).filter(|entry| is_number(&entry.file_name())) {
        // Other people's processes do not tell.
        for open in entries(&process.path().join("fd")) {
            let Some(path) = std::fs::read_link(open.path()).ok().and_then(|target| wanted.get(&target))
            else {
                continue;
            };
            let info = std::fs::read_to_string(process.path().join("fdinfo").join(open.file_name()));
            if info.is_ok_and(|info| opens_for_writing(&info)) {
                found.insert(path.clone());
            }
        }
    }
    found
}

/// Of what Linux tells of an open file: the lowest two bits of its flags are 1 or 2.
#[cfg(target_os = "linux")]
fn opens_for_writing(info: &str) -> bool {
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok()).is_some_and(|flags| flags & 3 != 0)
}

#[cfg(windows)]
pub fn written(paths: &[PathBuf]) -> HashSet<PathBuf> {
    use std::os::windows::fs::OpenOptionsExt;
    /// Others may read meanwhile, and not write.
    const FILE_SHARE_READ: u32 = 1;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let is_written = |path: &&PathBuf| {
        let opened = std::fs::File::options().read(true).share_mode(FILE_SHARE_READ).open(path);
        opened.is_err_and(|error| error.raw_os_error() == Some(ERROR_SHARING_VIOLATION))
    };
    paths.iter().filter(is_written).cloned().collect()
}

/// Nobody knows.
#[cfg(not(any(target_os = "linux", windows)))]
pub fn written(_: &[PathBuf]) -> HashSet<PathBuf> {
    HashSet::new()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn marks(inbox: &Inbox) -> Vec<(String, bool)> {
        let sights = inbox.look().unwrap().sights.into_iter();
        sights
            .map(|sight| (sight.path.file_name().unwrap().to_str().unwrap().into(), sight.is_marked))
            .collect()
    }

    #[test]
    fn names_say_what_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in
            ["a.wav", "b.wav", "b.wav.part", "c.mp3.crdownload", ".hidden.wav", "done/d.wav", "sub/e.wav"]
        {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "x").unwrap();
        }
        let filter = || Filter::new(&[], &[]).unwrap();
        let flat = Inbox::new(folder.path(), false, filter(), Vec::new());
        let found = [("a.wav", false), ("b.wav", true), ("b.wav.part", true), ("c.mp3.crdownload", true)];
        let found = found.map(|(name, is_marked)| (name.to_owned(), is_marked));
        assert_eq!(marks(&flat), found);
        let deep = Inbox::new(folder.path(), true, filter(), vec![at("done")]);
        assert_eq!(marks(&deep).last().unwrap().0, "e.wav");
        assert_eq!(deep.look().unwrap().sights.last().unwrap().below, Path::new("sub"));
        let gone = Inbox::new(&at("gone"), true, filter(), Vec::new());
        assert!(gone.look().is_err());
    }

    #[cfg(any(target_os = "linux", windows))]
    #[test]
    fn who_writes_is_seen_and_who_reads_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let writer = fs::File::create(&one).unwrap();
        fs::write(&two, "x").unwrap();
        let reader = fs::File::open(&two).unwrap();
        let both = [one.clone(), two];
        assert_eq!(written(&both), HashSet::from([one]));
        drop((writer, reader));
        assert!(written(&both).is_empty());
    }
}
