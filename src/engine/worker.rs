//! The engine's thread: admits chunks to window slots, encodes their windows and advances all sequences, step after
//! step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::chunk::{ActiveChunk, ModelContext, StepProgress};
use super::encode::PendingEncode;
use super::slots::SequencePool;
use super::{ChunkTask, EngineStats, unpoisoned};
use crate::cancel::CancelToken;
use crate::decode::{Alignment, Tokenizer};
use crate::device::memory::ReleasePolicy;
use crate::error::{Error, Result};
use crate::models::{Backend, SampledTokens};
use crate::test_hooks;

/// What the thread shares with its [`Engine`](super::Engine).
pub struct WorkerSignals {
    pub cancel: CancelToken,
    pub closing: Arc<AtomicBool>,
    pub stats: Arc<Mutex<EngineStats>>,
}

pub struct Worker {
    pub backend: Box<dyn Backend>,
    pub model: ModelContext,
    pub signals: WorkerSignals,
    /// The chunk in each window slot.
    pub slots: Vec<Option<ActiveChunk>>,
    pub sequences: SequencePool,
    pub waiting: Vec<ChunkTask>,
    /// Started chunks that lost their slot for lack of memory; they are resumed before others are started.
    pub suspended: Vec<ActiveChunk>,
    pub release: ReleasePolicy,
    /// Windows that the backend is encoding.
    pub pending: Vec<PendingEncode>,
    pub stats: EngineStats,
    /// Buffers kept from one batch to the next.
    pub mels: Vec<Vec<f32>>,
    pub logits: Vec<f32>,
    pub sampled: Vec<SampledTokens>,
    pub alignments: Vec<Alignment>,
}

impl Worker {
    pub fn new(
        backend: Box<dyn Backend>,
        tokenizer: Arc<Tokenizer>,
        release: ReleasePolicy,
        signals: WorkerSignals,
    ) -> Self {
        let capacity = backend.capacity();
        let windows = capacity.windows.min(capacity.sequences);
        let n_text_ctx = backend.spec().n_text_ctx;
        Worker {
            backend,
            model: ModelContext { tokenizer, n_text_ctx },
            signals,
            slots: (0..windows).map(|_| None).collect(),
            sequences: SequencePool::new(windows, capacity.sequences),
            waiting: Vec::new(),
            suspended: Vec::new(),
            release,
            pending: Vec::new(),
            stats: EngineStats::default(),
            mels: Vec::new(),
            logits: Vec::new(),
            sampled: Vec::new(),
            alignments: Vec::new(),
        }
    }

    /// Works until the engine is closed, or until all senders are gone and all chunks are done; then closes the
    /// backend.
    pub fn run(mut self, inbox: &Receiver<ChunkTask>) -> Result<()> {
        while self.receive(inbox) {
            if self.signals.closing.load(Ordering::Relaxed) {
                self.stop(|| Error::compute("decoding", "the engine was closed"));
                continue;
            }
            if let Some(reason) = self.signals.cancel.reason() {
                self.stop(|| Error::Cancelled(reason));
                continue;
            }
            let started = Instant::now();
            (self.stats.taken, self.stats.slots) = (self.admit(), self.slots.len());
            let occupancy = self.stats.taken as f64 / self.stats.slots.max(1) as f64;
            let outcome = self.encode().and_then(|()| self.step()).and_then(|()| self.align());
            self.retire();
            if let Err(shortage) = outcome {
                self.shrink(shortage);
            }
            let seconds = started.elapsed().as_secs_f64();
            self.stats.busy += seconds;
            self.stats.occupied += seconds * occupancy;
            self.publish_stats();
        }
        self.publish_stats();
        test_hooks::reached("close", &self.signals.cancel);
        self.backend.close()
    }

    /// Takes all submitted chunks; blocks if there is nothing to do. Returns false at the end.
    fn receive(&mut self, inbox: &Receiver<ChunkTask>) -> bool {
        self.waiting.extend(inbox.try_iter());
        if self.is_idle() {
            // Windows that are still encoded for abandoned inputs keep these alive.
            if !self.pending.is_empty() {
                self.discard_pending();
            }
            let since = Instant::now();
            match inbox.recv() {
                Ok(task) => self.waiting.push(task),
                Err(_) => return false,
            }
            self.stats.starved += since.elapsed().as_secs_f64();
            self.waiting.extend(inbox.try_iter());
        }
        true
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.suspended.is_empty() && self.slots.iter().all(Option::is_none)
    }

    pub fn publish_stats(&self) {
        *unpoisoned(&self.signals.stats) = self.stats;
    }

    /// Admits waiting chunks to free slots, those of earlier inputs and earlier chunks first. Returns how many slots are
    /// taken.
    fn admit(&mut self) -> usize {
        test_hooks::reached("admit", &self.signals.cancel);
        self.waiting.retain(|task| !task.input.is_abandoned());
        self.waiting.sort_by_key(|task| (task.input.order(), task.index));
        self.suspended.retain(|chunk| !chunk.input().is_abandoned());
        for slot in 0..self.slots.len() {
            if self.slots[slot].is_none() && !self.suspended.is_empty() {
                let mut chunk = self.suspended.remove(0);
                chunk.assign_slot(slot);
                self.slots[slot] = Some(chunk);
            }
            while self.slots[slot].is_none() {
                let Some(next) = self.waiting.iter().position(ActiveChunk::can_start) else { break };
                let chunk = ActiveChunk::start(self.waiting.remove(next), slot, &self.model);
                // A chunk without a window is done at once.
                if chunk.is_done() {
                    chunk.finish().into_iter().for_each(|finished| self.finish(finished));
                } else {
                    self.slots[slot] = Some(chunk);
                }
            }
        }
        self.slots.iter().flatten().count()
    }

    /// Returns the window slots whose chunks are ready and meet the condition.
    pub fn ready_slots(&self, condition: impl Fn(&ActiveChunk) -> bool) -> Vec<usize> {
        let is_ready = |chunk: &ActiveChunk| chunk.is_ready() && condition(chunk);
        let slots = self.slots.iter().enumerate();
        slots.filter(|(_, chunk)| chunk.as_ref().is_some_and(is_ready)).map(|(slot, _)| slot).collect()
    }

    /// Counts what a step changed in the chunk of a slot, or fails the chunk.
    pub fn close_step(&mut self, slot: usize, outcome: Result<StepProgress>) {
        match outcome {
            Ok(StepProgress { tokens, fell_back }) => {
                self.stats.tokens += tokens;
                self.stats.fallbacks += u64::from(fell_back);
                if fell_back {
                    test_hooks::reached("fallback", &self.signals.cancel);
                }
            }
            Err(error) => self.fail(slot, error),
        }
    }

    /// Frees the slots of chunks that are done or no longer wanted.
    fn retire(&mut self) {
        let mut finished = Vec::new();
        for slot in &mut self.slots {
            let leaves = |chunk: &mut ActiveChunk| chunk.is_done() || chunk.input().is_abandoned();
            if let Some(mut chunk) = slot.take_if(leaves) {
                chunk.release(&mut self.sequences);
                finished.extend(chunk.finish());
            }
        }
        finished.into_iter().for_each(|finished| self.finish(finished));
    }

    fn stop(&mut self, error: impl Fn() -> Error) {
        self.discard_pending();
        self.fail_all(error);
        self.publish_stats();
    }
}
