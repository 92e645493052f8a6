//! The continuous batcher: one thread that owns a backend and moves many chunks forward side by side.
//!
//! Chunks of any number of recordings come in, each a small state machine of `decode` that asks for one window
//! at a time. Here is only who sits in which slot: waiting windows are encoded, every step of the decoder moves
//! all sequences on by one token, whoever is finished leaves at once, and the next takes the seat. What is
//! decoded depends on the chunk alone, never on its neighbours, their number or their order.

mod ahead;
mod align;
mod attempt;
mod desk;
mod hearing;
mod language;
mod memory;
mod recording;
mod search;
mod seats;
mod stats;
mod team;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};

use crate::cancel::CancelToken;
use crate::decode::{DecodeOptions, DecodedChunk, Language, LanguageGuess, Stretch, Tokenizer};
use crate::device::memory::{Memory, ReleasePolicy, Released};
use crate::error::{Error, Result, catch_panic};
use crate::mel::Features;
use crate::models::{Backend, Capacity};
use crate::transcript::{Rejected, Segment};

pub use recording::{Ear, Listener, Recording};
pub use stats::Stats;
pub use team::Team;

/// What is told of one chunk of a recording.
#[derive(Debug)]
pub enum Event {
    LanguageDetected(LanguageGuess),
    /// New segments, in the order of time within the chunk.
    Segments(Vec<Segment>),
    WindowDone(WindowDone),
    ChunkDone(DecodedChunk),
    /// The chunk's tensors are gone, and what the device kept of them was given back if it was its turn.
    Released(Footprint),
    /// Memory was short: from now on so many windows at a time are decoded, for all recordings.
    SlotsReduced {
        slots: usize,
    },
    /// Of the recording nothing more comes.
    Failed(Error),
}

/// One window that needs no further attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowDone {
    pub seek: usize,
    /// Frames by which the chunk went forward.
    pub frames: usize,
    /// Temperatures tried after the first.
    pub fallbacks: usize,
    /// The one whose result was taken.
    pub temperature: f64,
    /// Why the others were not.
    pub rejected: Vec<Rejected>,
    pub is_silence: bool,
}

/// What a chunk took, and the memory held after it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Footprint {
    pub memory: Memory,
    /// None if nothing was given back this time.
    pub released: Option<Released>,
    /// From taking a slot to its last word.
    pub seconds: f64,
}

/// One chunk to decode.
pub struct Task {
    pub recording: Arc<Recording>,
    /// Counts from 0 within the recording.
    pub index: usize,
    pub stretch: Stretch,
    /// It goes on where the chunk before it ends.
    pub follows: bool,
    pub features: Box<dyn Features>,
    /// Let go of when the chunk is finished or given up.
    pub permit: Option<Box<dyn Send>>,
}

/// A running engine. Dropping it closes it, however long that takes.
pub struct Engine {
    /// None once it is closed.
    inbox: Mutex<Option<Sender<Task>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Tells at the end of the thread how it went to give the backend's memory back.
    ended: Receiver<Result<()>>,
    has_ended: Arc<AtomicBool>,
    closing: Arc<AtomicBool>,
    stats: Arc<Mutex<Stats>>,
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
        let (tell_end, ended) = bounded(1);
        let (closing, has_ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let stats = Arc::new(Mutex::new(Stats::default()));
        let signals = worker::Signals {
            cancel: cancel.clone(),
            closing: Arc::clone(&closing),
            stats: Arc::clone(&stats),
        };
        let worker = worker::Worker::new(backend, Arc::clone(&tokenizer), release, signals);
        let is_over = Arc::clone(&has_ended);
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let outcome = catch_panic("decoding", || worker.run(&tasks));
                is_over.store(true, Ordering::Relaxed);
                // There is room, and if nobody listens nobody needs to know.
                let _ = tell_end.try_send(outcome);
            })
            .map_err(|error| Error::compute("starting a thread", error))?;
        let (inbox, thread) = (Mutex::new(Some(inbox)), Mutex::new(Some(thread)));
        Ok(Engine { inbox, thread, ended, has_ended, closing, stats, capacity, n_mels, tokenizer })
    }

    /// Takes a chunk; what becomes of it is told to its recording. Never waits.
    pub fn submit(&self, task: Task) {
        let refused = match &*unpoisoned(&self.inbox) {
            Some(inbox) => inbox.send(task).err().map(|refused| refused.0),
            None => Some(task),
        };
        if let Some(Task { recording, index, .. }) = refused {
            recording.fail(index, Error::compute("decoding", "the engine has ended"));
        }
    }

    /// The language that all chunks will be decoded in, if it needs no listening; the error says why the model
    /// cannot do what is asked.
    pub fn language_of(&self, options: &DecodeOptions) -> Result<Option<Language>> {
        language::asked_for(&self.tokenizer, options)
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

    /// Whether it will never do anything any more.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        *unpoisoned(&self.stats)
    }

    /// Stops at the next step, gives up what is in work, and gives back all memory. Waits for that until the
    /// deadline, then leaves the thread to end by itself.
    pub fn close(&self, deadline: Instant) -> Result<()> {
        self.stop();
        match self.ended.recv_deadline(deadline) {
            Ok(outcome) => {
                self.join();
                outcome
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(Error::compute("closing a model", "its thread is still at work"))
            }
            // It was closed before.
            Err(RecvTimeoutError::Disconnected) => {
                self.join();
                Ok(())
            }
        }
    }

    fn stop(&self) {
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
        self.stop();
        self.join();
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
