//! The journal of one unfinished input, kept beside its outputs: what is finished, so that the next run resumes there.
//!
//! A `RecordLog` that begins with the fingerprint of the work, followed by the language and every chunk as soon as
//! it is finished. Records are only ever added, so that an end at any moment costs at most the last one, and damage
//! costs only what comes after it. A run that holds the journal owns the outputs: it is locked while the input is in
//! progress, and removed once the outputs are written.
//!
//! Every record is bound to those before it (`RecordChain`). Records that do not belong together discard the whole journal,
//! as it is unknown which of them were changed.

mod chain;
mod record;
mod resume;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use self::record::JournaledChunk;
pub use self::resume::{ChunkMoved, ResumedChunks};

use self::chain::RecordChain;
use self::record::JournalRecord;
use super::fingerprint::Fingerprint;
use super::record_log::{LockError, RecordLog, texts};
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
    /// Of the records in it.
    chain: RecordChain,
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
            let stored = StoredRecords::read(&content);
            discard_reason = match (resume, stored.fingerprint()) {
                (false, _) => Some("`--no-resume` was given"),
                (true, Some(previous)) => fingerprint.difference(previous),
                (true, None) => Some("it is damaged"),
            };
            discard_reason = discard_reason.or(stored.is_altered.then_some(ALTERED));
            if discard_reason.is_none() {
                intact_len = stored.len;
                journal.chain = stored.chain;
                resumed = ResumedChunks::replay(stored.records);
                journal.is_resumable = !resumed.is_empty();
                discard_reason = (intact_len < content.len()).then_some("its end is damaged");
            }
        }
        let write_error = journal.start(fingerprint, intact_len as u64).err();
        Ok(OpenedJournal { journal, resumed, discard_reason, write_error })
    }

    fn lock(path: &Path) -> Result<Self, LockError> {
        let log = RecordLog::open_exclusive(path)?;
        // Until its content is known.
        let chain = RecordChain::default();
        Ok(Self { log, chain, is_resumable: true, is_name_synced: false, is_read_only: false })
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
        let Ok(content) = journal.log.read() else { return };
        // What an earlier version has written is enough here.
        journal.is_resumable = match StoredRecords::read(&content).records.pop() {
            Some(JournalRecord::Writing { outputs }) => !outputs.iter().all(|output| output.is_file()),
            // Its run could not read or write it.
            None => !content.is_empty(),
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
        let written = self.append_sealed(record).and_then(|start| match record {
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

    /// Returns the length before the record.
    fn append_sealed(&mut self, record: &JournalRecord<&Fingerprint, &JournaledChunk>) -> io::Result<u64> {
        let (line, next) = self.chain.seal(&serde_json::to_string(record)?);
        let start = self.log.append_text(&line)?;
        self.chain = next;
        Ok(start)
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

const ALTERED: &str = "its records do not belong together: another program has changed it";

/// The records of a journal from the first one to the first that is damaged or incomplete.
#[derive(Default)]
struct StoredRecords {
    records: Vec<JournalRecord<Fingerprint, JournaledChunk>>,
    chain: RecordChain,
    /// The offset behind them.
    len: usize,
    /// A record is intact by itself and does not follow the ones before it.
    is_altered: bool,
}

impl StoredRecords {
    fn read(content: &[u8]) -> Self {
        let complete = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let mut found = Self::default();
        for (text, end) in texts(&content[..complete]) {
            let Some(text) = text else { break };
            let record = match found.chain.open(text) {
                Some((record, next)) => {
                    found.chain = next;
                    record
                }
                // Earlier versions did not bind their records. Their fingerprint tells them apart from this one.
                None => {
                    found.is_altered = true;
                    text
                }
            };
            let Ok(record) = serde_json::from_str(record) else { break };
            found.records.push(record);
            found.len = end;
        }
        found
    }

    fn fingerprint(&self) -> Option<&Fingerprint> {
        match self.records.first() {
            Some(JournalRecord::Fingerprint(fingerprint)) => Some(fingerprint),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
