//! An append-only file of records, one per line: a CRC-32 in hexadecimal, a blank, and the record in JSON.
//!
//! A record is written by a single call and carries its own checksum, so that a process that is killed loses at most
//! the last one, and damage is detected line by line. What a record means, and what to do about a damaged one, is
//! left to the journal and the ledger.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No more than this is read: the journal of ten hours takes a few megabytes.
const MAX_BYTES: u64 = 1 << 30;

/// How often to retry a lock on a file that other processes keep removing.
const LOCK_ATTEMPTS: usize = 100;

/// Why a log could not be opened for one process alone.
#[derive(Debug)]
pub enum LockError {
    /// Another process holds the lock.
    Locked,
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        LockError::Io(error)
    }
}

/// An open log, locked where the file system supports locks.
#[derive(Debug)]
pub struct RecordLog {
    path: PathBuf,
    file: File,
}

impl RecordLog {
    /// Opens or creates a log for this process alone, until it is dropped. Fails at once if another process holds it.
    pub fn open_exclusive(path: &Path) -> Result<Self, LockError> {
        for _ in 0..LOCK_ATTEMPTS {
            refuse_links(path)?;
            let file =
                open_itself(File::options().read(true).write(true).create(true).truncate(false), path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, path)? => return Ok(Self { path: path.into(), file }),
                // The process that held the lock removed the file between the two steps.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(LockError::Locked),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(io::Error::other("other processes keep replacing it").into())
    }

    /// Opens or creates a log that several processes append to, each while it has it open.
    pub fn open_shared(path: &Path) -> io::Result<Self> {
        refuse_links(path)?;
        let file = open_itself(File::options().read(true).append(true).create(true), path)?;
        // Some file systems have no locks; an appended line is written by one call there, too.
        let _ = file.lock();
        Ok(Self { path: path.into(), file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(0))?;
        read_at_most(&self.file)
    }

    /// Appends a record as a line of its own, also behind a line that was cut off. Returns the length before that;
    /// a line that cannot be written whole is removed again.
    pub fn append(&mut self, record: &impl Serialize) -> io::Result<u64> {
        self.append_text(&serde_json::to_string(record)?)
    }

    /// Appends a record that the caller has formatted, without line breaks.
    pub fn append_text(&mut self, record: &str) -> io::Result<u64> {
        let mut line = format!("{} {record}\n", checksum(record));
        let len = self.file.seek(SeekFrom::End(0))?;
        if !self.ends_with_newline(len)? {
            line.insert(0, '\n');
        }
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // If this fails as well, the checksum exposes the partial line.
            let _ = self.file.set_len(len);
            return Err(error);
        }
        Ok(len)
    }

    /// Leaves the position at the end, as [`RecordLog::append`] needs it.
    fn ends_with_newline(&mut self, len: u64) -> io::Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        Ok(last == [b'\n'])
    }

    /// Removes everything behind `len` bytes. Needs exclusive access.
    pub fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Waits until everything appended so far would survive a power cut.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads a log without locking it.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(&File::open(path)?)
}

fn read_at_most(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

/// Returns the record of each line, `None` for a damaged one, and the offset behind the line.
pub fn records<R: DeserializeOwned>(content: &[u8]) -> impl Iterator<Item = (Option<R>, usize)> {
    texts(content).map(|(text, end)| (text.and_then(|text| serde_json::from_str(text).ok()), end))
}

/// Returns the text of each line whose checksum is right, `None` for a damaged one, and the offset behind the line.
pub fn texts(content: &[u8]) -> impl Iterator<Item = (Option<&str>, usize)> {
    content.split_inclusive(|byte| *byte == b'\n').scan(0, |offset, line| {
        *offset += line.len();
        Some((intact_text(line), *offset))
    })
}

fn intact_text(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    let (sum, text) = line.strip_suffix('\n').unwrap_or(line).split_once(' ')?;
    (sum == checksum(text)).then_some(text)
}

fn checksum(record: &str) -> String {
    format!("{:08x}", crc32fast::hash(record.as_bytes()))
}

/// Opens a file, and not what a link leads to that was put there since [`refuse_links`].
fn open_itself(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, nix::libc::O_NOFOLLOW);
    options.open(path)
}

/// A link could lead to a file of another program.
fn refuse_links(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::other("not a regular file")),
        _ => Ok(()),
    }
}

/// Returns whether the path still names this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        (folder, path)
    }

    fn numbers(content: &[u8]) -> Vec<Option<u32>> {
        records(content).map(|(record, _)| record).collect()
    }

    #[test]
    fn lines_have_the_format_of_earlier_versions() {
        let (_folder, path) = log();
        let mut log = RecordLog::open_exclusive(&path).unwrap();
        assert_eq!(log.append(&7_u32).unwrap(), 0);
        assert_eq!(log.append(&"a\nb").unwrap(), 11);
        assert_eq!(fs::read_to_string(&path).unwrap(), "6abf4a82 7\n1ecd4592 \"a\\nb\"\n");
    }

    #[test]
    fn appends_after_a_torn_line_on_a_line_of_its_own() {
        let (_folder, path) = log();
        RecordLog::open_shared(&path).unwrap().append(&1_u32).unwrap();
        let whole = fs::read(&path).unwrap();
        for len in 0..=whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let mut log = RecordLog::open_shared(&path).unwrap();
            assert_eq!(log.append(&2_u32).unwrap(), len as u64);
            let content = log.read().unwrap();
            assert_eq!(numbers(&content).last(), Some(&Some(2)), "{len}");
            let intact = len + 1 >= whole.len();
            assert_eq!(numbers(&content).contains(&Some(1)), intact, "{len}");
            assert_eq!(records::<u32>(&content).last().unwrap().1, content.len());
        }
    }

    #[test]
    fn a_damaged_record_does_not_affect_its_neighbours() {
        let (_folder, path) = log();
        let mut log = RecordLog::open_exclusive(&path).unwrap();
        for number in 0..3_u32 {
            log.append(&number).unwrap();
        }
        let mut content = log.read().unwrap();
        let second = content.len() / 3;
        content[second + 2] ^= 1;
        assert_eq!(numbers(&content), [Some(0), None, Some(2)]);
        assert_eq!(numbers(b"\n\xff\n00000000 1\n"), [None, None, None]);
    }

    #[test]
    fn truncating_removes_records_for_good() {
        let (_folder, path) = log();
        let mut log = RecordLog::open_exclusive(&path).unwrap();
        log.append(&1_u32).unwrap();
        let len = log.append(&2_u32).unwrap();
        log.truncate(len).unwrap();
        log.append(&3_u32).unwrap();
        assert_eq!(numbers(&log.read().unwrap()), [Some(1), Some(3)]);
    }

    #[test]
    fn only_one_process_opens_it_exclusively() {
        let (_folder, path) = log();
        let log = RecordLog::open_exclusive(&path).unwrap();
        assert!(matches!(RecordLog::open_exclusive(&path), Err(LockError::Locked)));
        drop(log);
        assert!(RecordLog::open_exclusive(&path).is_ok());
    }
}
