//! The journal of one unfinished input, kept beside its outputs: what is finished, so that the next run resumes there.
//!
//! A `RecordLog` that begins with the fingerprint of the work, followed by the language and every chunk as soon as
//! it is finished. Records are only ever added, so that an end at any moment costs at most the last one, and damage
//! costs only what comes after it. A run that holds the journal owns the outputs: it is locked while the input is in
//! progress, and removed once the outputs are written.

mod record;
mod resume;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use self::record::JournaledChunk;
pub use self::resume::{ChunkMoved, ResumedChunks};

use self::record::JournalRecord;
use super::fingerprint::Fingerprint;
use super::record_log::{LockError, RecordLog, records};
use super::sync_parent_folder;
use crate::decode::LanguageGuess;

/// A locked journal, and what was found in it.
#[derive(Debug)]
pub struct OpenedJournal {
    pub journal: Journal,
    pub resumed: ResumedChunks,
    /// Why less can be resumed than the journal held.
    pub discard_reason: Option<&'static str>,
    /// Why nothing can be appended; the journal still locks out other processes.
    pub write_error: Option<io::Error>,
}

/// A journal that this process has locked.
#[derive(Debug)]
pub struct Journal {
    log: RecordLog,
    /// It holds something that a later run can resume from; else it is removed when it is closed.
    is_resumable: bool,
    /// The name of the file would survive a power cut.
    is_name_synced: bool,
    /// Writing has failed; the file stays as it is.
    is_read_only: bool,
}

impl Journal {
    /// Locks a journal and reads what can be resumed from it: everything if `resume` is set and the fingerprint is
    /// the same, else nothing, and the journal starts anew.
    pub fn open(path: &Path, fingerprint: &Fingerprint, resume: bool) -> Result<OpenedJournal, LockError> {
        let mut journal = Self::lock(path)?;
        let content = journal.log.read()?;
        journal.is_resumable = false;
        let (mut resumed, mut discard_reason, mut intact_len) = (ResumedChunks::default(), None, 0);
        if !content.is_empty() {
            let (records, len) = intact_records(&content);
            discard_reason = match (resume, records.first()) {
                (false, _) => Some("`--no-resume` was given"),
                (true, Some(JournalRecord::Fingerprint(previous))) => fingerprint.difference(previous),
                (true, _) => Some("it is damaged"),
            };
            if discard_reason.is_none() {
                intact_len = len;
                resumed = ResumedChunks::replay(records);
                journal.is_resumable = !resumed.is_empty();
                discard_reason = (len < content.len()).then_some("its end is damaged");
            }
        }
        let write_error = journal.start(fingerprint, intact_len as u64).err();
        Ok(OpenedJournal { journal, resumed, discard_reason, write_error })
    }

    fn lock(path: &Path) -> Result<Self, LockError> {
        let log = RecordLog::open_exclusive(path)?;
        // Until its content is known.
        Ok(Self { log, is_resumable: true, is_name_synced: false, is_read_only: false })
    }

    /// Cuts off what is damaged or discarded, and writes the fingerprint into an empty journal.
    fn start(&mut self, fingerprint: &Fingerprint, intact_len: u64) -> io::Result<()> {
        if let Err(error) = self.log.truncate(intact_len) {
            self.is_read_only = true;
            return Err(error);
        }
        match intact_len {
            0 => self.append(&JournalRecord::Fingerprint(fingerprint)),
            _ => Ok(()),
        }
    }

    /// Removes a journal whose outputs are all written: its run was killed before it could remove it.
    pub fn remove_if_written(path: &Path) {
        if !path.is_file() {
            return;
        }
        let Ok(mut journal) = Self::lock(path) else { return };
        let content = journal.log.read().unwrap_or_default();
        journal.is_resumable = match intact_records(&content).0.pop() {
            Some(JournalRecord::Writing { outputs }) => !outputs.iter().all(|output| output.is_file()),
            _ => true,
        };
    }

    pub fn append_language(&mut self, guess: &LanguageGuess) -> io::Result<()> {
        self.append(&JournalRecord::language(guess))
    }

    /// Appends a finished chunk and waits until it would survive a power cut.
    pub fn append_chunk(&mut self, chunk: &JournaledChunk) -> io::Result<()> {
        // Without a record the chunk is transcribed again, with the same result.
        if chunk.is_representable() { self.append(&JournalRecord::Chunk(chunk)) } else { Ok(()) }
    }

    /// Drops chunk `from` and all after it: they belong to other audio.
    pub fn append_discard(&mut self, from: usize) -> io::Result<()> {
        self.append(&JournalRecord::Discard { from })
    }

    /// Must be called before the first output is written.
    pub fn append_writing(&mut self, outputs: Vec<PathBuf>) -> io::Result<()> {
        self.append(&JournalRecord::Writing { outputs })
    }

    /// Returns whether a later run can resume from it.
    pub fn is_resumable(&self) -> bool {
        self.is_resumable
    }

    /// Removes the file: everything in it is in the outputs now.
    pub fn remove(mut self) {
        self.is_resumable = false;
    }

    /// Appends a record. Only the first failure is reported; the journal is read-only from then on.
    fn append(&mut self, record: &JournalRecord<&Fingerprint, &JournaledChunk>) -> io::Result<()> {
        if self.is_read_only {
            return Ok(());
        }
        let written = self.log.append(record).and_then(|start| match record {
            // Makes everything before it durable as well; nothing else is worth the wait.
            JournalRecord::Chunk(_) => self.sync().inspect_err(|_| {
                // If this fails as well, the record is merely not durable.
                let _ = self.log.truncate(start);
            }),
            _ => Ok(()),
        });
        self.is_read_only = written.is_err();
        if written.is_ok() {
            self.is_resumable |= matches!(record, JournalRecord::Language { .. } | JournalRecord::Chunk(_));
        }
        written
    }

    fn sync(&mut self) -> io::Result<()> {
        self.log.sync()?;
        if !std::mem::replace(&mut self.is_name_synced, true) {
            sync_parent_folder(self.log.path())?;
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.is_resumable {
            // While it is still locked, so that no other process can have locked the file that is removed.
            let _ = fs::remove_file(self.log.path());
        }
    }
}

/// Returns the records from the first one to the first that is damaged or incomplete, and the offset behind them.
fn intact_records(content: &[u8]) -> (Vec<JournalRecord<Fingerprint, JournaledChunk>>, usize) {
    let complete = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let (mut intact, mut len) = (Vec::new(), 0);
    for (record, end) in records(&content[..complete]) {
        let Some(record) = record else { break };
        intact.push(record);
        len = end;
    }
    (intact, len)
}

#[cfg(test)]
mod tests;
