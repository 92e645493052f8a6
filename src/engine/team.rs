//! Engines of one model on several devices, fed from one queue of chunks: whoever has least to do gets the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Engine, Stats, Task, language};
use crate::decode::{DecodeOptions, Language, Tokenizer};
use crate::error::{Error, Result};
use crate::models::Capacity;

/// See the module. Most teams have one member.
pub struct Team {
    members: Vec<Member>,
}

struct Member {
    engine: Engine,
    /// Chunks that it was given and has not finished.
    chunks: Arc<AtomicUsize>,
}

/// A chunk in work, for as long as this lives.
struct InWork(Arc<AtomicUsize>);

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Team {
    /// Of engines that all have the same model.
    pub fn new(engines: Vec<Engine>) -> Result<Self> {
        if engines.is_empty() {
            return Err(Error::compute("starting an engine", "there is no device"));
        }
        let member = |engine| Member { engine, chunks: Arc::default() };
        Ok(Self { members: engines.into_iter().map(member).collect() })
    }

    /// Takes a chunk; what becomes of it is told to its recording. Never waits.
    pub fn submit(&self, mut task: Task) {
        let recording = &task.recording;
        // Who waits for another chunk, for its end or for the language it finds, waits at the same engine.
        let waits = task.follows || recording.language().is_none();
        let kept = recording.engine().filter(|_| waits);
        let chosen = kept.filter(|chosen| *chosen < self.members.len()).unwrap_or_else(|| self.least_busy());
        recording.set_engine(chosen);
        let Some(member) = self.members.get(chosen) else { return };
        member.chunks.fetch_add(1, Ordering::Relaxed);
        task.permit = Some(Box::new((task.permit.take(), InWork(Arc::clone(&member.chunks)))));
        member.engine.submit(task);
    }

    fn least_busy(&self) -> usize {
        let part = |member: &Member| {
            member.chunks.load(Ordering::Relaxed) as f64 / member.engine.capacity().windows.max(1) as f64
        };
        let members = self.members.iter().enumerate();
        members.min_by(|a, b| part(a.1).total_cmp(&part(b.1))).map_or(0, |(index, _)| index)
    }

    /// See [`Engine::language_of`].
    pub fn language_of(&self, options: &DecodeOptions) -> Result<Option<Language>> {
        language::asked_for(self.tokenizer(), options)
    }

    /// Of all of them together.
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
        // There is one, see `new`.
        &self.members[0].engine
    }

    /// Whether one of them will never do anything any more: what it was given is lost.
    pub fn has_ended(&self) -> bool {
        self.members.iter().any(|member| member.engine.has_ended())
    }

    /// What they did so far, together.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.members.iter().for_each(|member| stats += member.engine.stats());
        stats
    }

    /// Closes all of them, side by side. The first failure is told.
    pub fn close(&self, deadline: Instant) -> Result<()> {
        self.members.iter().for_each(|member| member.engine.stop());
        let outcomes: Vec<Result<()>> =
            self.members.iter().map(|member| member.engine.close(deadline)).collect();
        outcomes.into_iter().collect()
    }
}
