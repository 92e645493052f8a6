//! The continuous batcher: one thread that owns a backend and moves many chunks forward side by side.
//!
//! Chunks of any number of recordings come in, each a small state machine of `decode` that asks for one window
//! at a time. Here is only who sits in which slot: waiting windows are encoded, every step of the decoder moves
//! all sequences on by one token, whoever is finished leaves at once, and the next takes the seat. What is
//! decoded depends on the chunk alone, never on its neighbours, their number or their order.

mod align;
mod attempt;
mod desk;
mod language;
mod memory;
mod search;
mod seats;
mod stats;
mod worker;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use crate::backend::{Backend, Capacity};
use crate::cancel::CancelToken;
use crate::decode::{DecodeOptions, DecodedChunk, Handover, Language, Rejected, Segment, Stretch, Tokenizer};
use crate::device::memory::{Memory, Released};
use crate::error::{Error, Result};
use crate::mel::Features;

pub use language::LanguageGuess;
pub use stats::Stats;

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

/// When memory that was freed is given back to the device and to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleasePolicy {
    /// After every so many chunks.
    Every(NonZeroUsize),
    Never,
}

impl Default for ReleasePolicy {
    fn default() -> Self {
        ReleasePolicy::Every(NonZeroUsize::MIN)
    }
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

/// Hears what happens to the chunks of a recording: the chunk's index, and what it is.
pub type Listener = Box<dyn Fn(usize, Event) + Send + Sync>;

/// What the chunks of one recording share.
pub struct Recording {
    /// Chunks of the recording with the smallest one go first.
    order: usize,
    options: Arc<DecodeOptions>,
    language: OnceLock<Language>,
    /// What to listen to for it.
    ears: Mutex<Vec<Ear>>,
    /// Where chunks left off that the next one goes on from.
    handovers: Mutex<HashMap<usize, Handover>>,
    given_up: AtomicBool,
    listener: Listener,
}

impl Recording {
    /// The options must have been checked. The language is settled by the first chunk if they do not say it.
    pub fn new(order: usize, options: Arc<DecodeOptions>, listener: Listener) -> Self {
        Recording {
            order,
            options,
            language: OnceLock::new(),
            ears: Mutex::default(),
            handovers: Mutex::default(),
            given_up: AtomicBool::new(false),
            listener,
        }
    }

    /// What was settled, or is known from an earlier run.
    pub fn language(&self) -> Option<Language> {
        self.language.get().copied()
    }

    pub fn settle_language(&self, language: Language) {
        // The first one stands.
        let _ = self.language.set(language);
    }

    /// How many windows have a vote on the language at most.
    pub fn language_windows(&self) -> usize {
        self.options.language_detection_segments
    }

    /// Windows to find out the language by, to be said before the first chunk comes. Without any, the beginning
    /// of that chunk is listened to.
    pub fn listen_to(&self, ears: Vec<Ear>) {
        *self.ears.lock().unwrap_or_else(PoisonError::into_inner) = ears;
    }

    fn take_ears(&self) -> Vec<Ear> {
        std::mem::take(&mut *self.ears.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Chunk `index` left off here; the one behind it may go on.
    pub fn hand_over(&self, index: usize, handover: Handover) {
        self.handovers().insert(index, handover);
    }

    fn handovers(&self) -> MutexGuard<'_, HashMap<usize, Handover>> {
        self.handovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its chunks are no longer wanted.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    fn tell(&self, chunk: usize, event: Event) {
        (self.listener)(chunk, event);
    }

    /// The first failure is told; with it all chunks are given up.
    fn fail(&self, chunk: usize, error: Error) {
        if !self.given_up.swap(true, Ordering::Relaxed) {
            self.tell(chunk, Event::Failed(error));
        }
    }
}

/// A window to listen to for the language.
pub struct Ear {
    pub seek: usize,
    /// None if the first chunk holds it.
    pub features: Option<Box<dyn Features>>,
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

/// A running engine. Dropping it ends it at the next step.
pub struct Engine {
    inbox: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
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
        let (inbox, tasks) = crossbeam_channel::unbounded();
        let closing = Arc::new(AtomicBool::new(false));
        let stats = Arc::new(Mutex::new(Stats::default()));
        let worker = worker::Worker::new(
            backend,
            Arc::clone(&tokenizer),
            release,
            worker::Signals {
                cancel: cancel.clone(),
                closing: Arc::clone(&closing),
                stats: Arc::clone(&stats),
            },
        );
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || worker.run(&tasks))
            .map_err(|error| Error::compute("starting a thread", error))?;
        Ok(Engine { inbox: Some(inbox), thread: Some(thread), closing, stats, capacity, n_mels, tokenizer })
    }

    /// Takes a chunk; what becomes of it is told to its recording. Never waits.
    pub fn submit(&self, task: Task) {
        let refused = match &self.inbox {
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
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it did so far.
    pub fn stats(&self) -> Stats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.inbox = None;
        if let Some(thread) = self.thread.take() {
            // Its panics are caught inside, step by step.
            let _ = thread.join();
        }
    }
}
