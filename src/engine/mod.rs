//! The continuous batcher: one thread that owns a backend and advances many chunks side by side.
//!
//! Chunks of any number of inputs come in. Each is a small state machine of `decode` that asks for one window at a
//! time. This module decides only which chunk uses which slot: it admits chunks to window slots, encodes waiting
//! windows in batches, advances every sequence by one token per step, and refills a slot as soon as it is free. What is
//! decoded depends on the chunk alone, never on its neighbours, their number or their order.

mod align;
mod attempt;
mod chunk;
mod device_sampling;
mod encode;
mod events;
mod group;
mod input;
mod language;
mod memory;
mod recovery;
mod search;
mod slots;
mod stats;
mod step;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::cancel::CancelToken;
use crate::chunking::{ChunkSpan, SpeechMap};
use crate::decode::{DecodeOptions, Language, Tokenizer};
use crate::device::memory::ReleasePolicy;
use crate::error::{Error, Result, catch_panic};
use crate::mel::Features;
use crate::models::{Backend, Capacity};

pub use events::{ChunkEvent, Footprint, WindowDone};
pub use group::EngineGroup;
pub use input::{ChunkEventSink, InputContext, ProbeWindow};
pub use stats::EngineStats;

/// One chunk to decode.
pub struct ChunkTask {
    pub input: Arc<InputContext>,
    /// Counts from 0 within the input.
    pub index: usize,
    pub span: ChunkSpan,
    pub features: Box<dyn Features>,
    /// Where somebody speaks; none to decode as openai/whisper does, whatever is heard.
    pub speech: Option<SpeechMap>,
    /// Dropped when the chunk is finished or abandoned.
    pub permit: Option<Box<dyn Send>>,
}

/// A running engine. Dropping it closes it, however long that takes.
pub struct Engine {
    /// None once it is closed.
    inbox: Mutex<Option<Sender<ChunkTask>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Receives the outcome of closing the backend when the thread ends.
    ended: Receiver<Result<()>>,
    has_ended: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    stats: Arc<Mutex<EngineStats>>,
    capacity: Capacity,
    n_mels: usize,
    tokenizer: Arc<Tokenizer>,
}

impl Engine {
    pub fn start(
        backend: Box<dyn Backend>,
        tokenizer: Arc<Tokenizer>,
        release: ReleasePolicy,
        cancel: &CancelToken,
    ) -> Result<Self> {
        if backend.spec().n_vocab != tokenizer.n_vocab() {
            return Err(Error::compute("decoding", "the tokenizer was made for another model"));
        }
        let (capacity, n_mels) = (backend.capacity(), backend.spec().n_mels);
        let (inbox, tasks) = unbounded();
        let (outcome_sender, ended) = bounded(1);
        let (closing, has_ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let stats = Arc::new(Mutex::new(EngineStats::default()));
        let signals = worker::WorkerSignals {
            cancel: cancel.clone(),
            closing: Arc::clone(&closing),
            stats: Arc::clone(&stats),
        };
        let worker = worker::Worker::new(backend, Arc::clone(&tokenizer), release, signals);
        let ends = Arc::clone(&has_ended);
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let outcome = catch_panic("decoding", || worker.run(&tasks));
                ends.store(true, Ordering::Relaxed);
                // The channel has room for it; without a receiver it is not needed.
                let _ = outcome_sender.try_send(outcome);
            })
            .map_err(|error| Error::compute("starting a thread", error))?;
        let (inbox, thread) = (Mutex::new(Some(inbox)), Mutex::new(Some(thread)));
        Ok(Engine { inbox, thread, ended, has_ended, closing, stats, capacity, n_mels, tokenizer })
    }

    /// Queues a chunk; its events go to its input. Never blocks.
    pub fn submit(&self, task: ChunkTask) {
        let refused = match &*unpoisoned(&self.inbox) {
            Some(inbox) => inbox.send(task).err().map(|refused| refused.0),
            None => Some(task),
        };
        if let Some(ChunkTask { input, index, .. }) = refused {
            input.fail(index, Error::compute("decoding", "the engine has ended"));
        }
    }

    /// Returns the language that all chunks will be decoded in, if it need not be detected. The error says why the
    /// model cannot do what the options ask for.
    pub fn requested_language(&self, options: &DecodeOptions) -> Result<Option<Language>> {
        language::requested(&self.tokenizer, options)
    }

    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    pub fn n_mels(&self) -> usize {
        self.n_mels
    }

    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Returns whether its thread has ended.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Returns the counters so far.
    pub fn stats(&self) -> EngineStats {
        *unpoisoned(&self.stats)
    }

    /// Stops at the next step, fails all chunks and gives back all memory. Waits for that until the deadline, then
    /// leaves the thread to end by itself.
    pub fn close(&self, deadline: Instant) -> Result<()> {
        self.request_stop();
        match self.ended.recv_deadline(deadline) {
            Ok(outcome) => {
                self.join();
                outcome
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::compute("closing a model", "its thread has not ended yet"))
            }
            // It was closed before.
            Err(RecvTimeoutError::Disconnected) => {
                self.join();
                Ok(())
            }
        }
    }

    fn request_stop(&self) {
        self.closing.store(true, Ordering::Relaxed);
        unpoisoned(&self.inbox).take();
    }

    fn join(&self) {
        if let Some(thread) = unpoisoned(&self.thread).take() {
            // Its panics are caught inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.request_stop();
        self.join();
    }
}

/// Locks what no panic can leave inconsistent.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
