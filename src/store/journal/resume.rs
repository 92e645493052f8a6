//! What an earlier run left in its journal: the language and the chunks that need not be transcribed again.

use std::collections::BTreeMap;

use super::record::{JournalRecord, JournaledChunk, language_guess};
use crate::chunking::ChunkSpan;
use crate::decode::LanguageGuess;

/// Finished work of an earlier run.
#[derive(Debug, Default)]
pub struct ResumedChunks {
    pub language: Option<LanguageGuess>,
    pub chunks: BTreeMap<usize, JournaledChunk>,
}

/// A chunk begins or ends elsewhere than in the earlier run; it and all after it are dropped.
#[derive(Debug)]
pub struct ChunkMoved;

impl ResumedChunks {
    /// Applies the records of a journal in their order.
    pub(super) fn replay<F>(records: Vec<JournalRecord<F, JournaledChunk>>) -> Self {
        let mut resumed = Self::default();
        for record in records {
            match record {
                JournalRecord::Fingerprint(_) | JournalRecord::Writing { .. } => {}
                JournalRecord::Language { code, probabilities } => {
                    resumed.language = language_guess(&code, probabilities);
                }
                JournalRecord::Chunk(chunk) => drop(resumed.chunks.insert(chunk.index, chunk)),
                JournalRecord::Discard { from } => resumed.discard(from),
            }
        }
        resumed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.language.is_none() && self.chunks.is_empty()
    }

    /// Removes and returns chunk `index` if it is finished. If it had another span, nothing from there on can be resumed.
    pub fn take(&mut self, index: usize, span: &ChunkSpan) -> Result<Option<JournaledChunk>, ChunkMoved> {
        match self.chunks.remove(&index) {
            Some(chunk) if chunk.span != *span => {
                self.discard(index);
                Err(ChunkMoved)
            }
            found => Ok(found),
        }
    }

    fn discard(&mut self, from: usize) {
        self.chunks.split_off(&from);
        if from == 0 {
            self.language = None;
        }
    }
}
