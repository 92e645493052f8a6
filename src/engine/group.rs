//! Engines of one model on several devices, fed from one queue of chunks: the least busy one gets the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{ChunkTask, Engine, EngineStats};
use crate::decode::{DecodeOptions, Language, Tokenizer};
use crate::error::{Error, Result};
use crate::models::Capacity;

/// At least one engine; one per device.
pub struct EngineGroup {
    members: Vec<GroupMember>,
}

struct GroupMember {
    engine: Engine,
    /// Chunks that it was given and has not finished.
    chunks: Arc<AtomicUsize>,
}

/// Counts a chunk of a member for as long as it lives.
struct ChunkCount(Arc<AtomicUsize>);

impl ChunkCount {
    fn of(chunks: &Arc<AtomicUsize>) -> Self {
        chunks.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(chunks))
    }
}

impl Drop for ChunkCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl EngineGroup {
    /// Groups engines that all have the same model.
    pub fn new(engines: Vec<Engine>) -> Result<Self> {
        if engines.is_empty() {
            return Err(Error::compute("starting an engine", "there is no device"));
        }
        let member = |engine| GroupMember { engine, chunks: Arc::default() };
        Ok(Self { members: engines.into_iter().map(member).collect() })
    }

    /// Queues a chunk on the least busy engine; its events go to its input. Never blocks.
    pub fn submit(&self, mut task: ChunkTask) {
        // A chunk that depends on another one, for its end or for the language, goes to the same engine.
        let depends = task.span.follows || task.input.language().is_none();
        let kept = task.input.engine().filter(|_| depends);
        let chosen = kept.filter(|chosen| *chosen < self.members.len()).unwrap_or_else(|| self.least_busy());
        task.input.set_engine(chosen);
        let Some(member) = self.members.get(chosen) else { return };
        task.permit = Some(Box::new((task.permit.take(), ChunkCount::of(&member.chunks))));
        member.engine.submit(task);
    }

    fn least_busy(&self) -> usize {
        let load = |member: &GroupMember| {
            member.chunks.load(Ordering::Relaxed) as f64 / member.engine.capacity().windows.max(1) as f64
        };
        let members = self.members.iter().enumerate();
        members.min_by(|a, b| load(a.1).total_cmp(&load(b.1))).map_or(0, |(index, _)| index)
    }

    /// See [`Engine::requested_language`].
    pub fn requested_language(&self, options: &DecodeOptions) -> Result<Option<Language>> {
        self.first().requested_language(options)
    }

    /// Returns the capacity of all engines together.
    pub fn capacity(&self) -> Capacity {
        let all = self.members.iter().map(|member| member.engine.capacity());
        all.fold(Capacity { windows: 0, sequences: 0 }, |sum, one| Capacity {
            windows: sum.windows + one.windows,
            sequences: sum.sequences + one.sequences,
        })
    }

    pub fn n_mels(&self) -> usize {
        self.first().n_mels()
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        self.first().tokenizer()
    }

    fn first(&self) -> &Engine {
        // `new` makes sure that there is one.
        &self.members[0].engine
    }

    /// Returns whether an engine has ended: the chunks that it was given are lost.
    pub fn has_ended(&self) -> bool {
        self.members.iter().any(|member| member.engine.has_ended())
    }

    /// Returns the counters of all engines together.
    pub fn stats(&self) -> EngineStats {
        let mut stats = EngineStats::default();
        self.members.iter().for_each(|member| stats += member.engine.stats());
        stats
    }

    /// Closes all engines at once; returns the first failure.
    pub fn close(&self, deadline: Instant) -> Result<()> {
        self.members.iter().for_each(|member| member.engine.request_stop());
        let outcomes: Vec<Result<()>> =
            self.members.iter().map(|member| member.engine.close(deadline)).collect();
        outcomes.into_iter().collect()
    }
}
