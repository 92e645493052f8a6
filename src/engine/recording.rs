//! What the chunks of one recording share, whichever slot they sit in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::Event;
use crate::decode::{DecodeOptions, Handover, Language};
use crate::error::Error;
use crate::mel::Features;

const NO_ENGINE: usize = usize::MAX;

/// Hears what happens to the chunks of a recording: the chunk's index, and what it is.
pub type Listener = Box<dyn Fn(usize, Event) + Send + Sync>;

/// What the chunks of one recording share.
pub struct Recording {
    /// Chunks of the recording with the smallest one go first.
    pub(super) order: usize,
    pub(super) options: Arc<DecodeOptions>,
    language: OnceLock<Language>,
    /// What to listen to for it.
    ears: Mutex<Vec<Ear>>,
    /// Where chunks left off that the next one goes on from.
    handovers: Mutex<HashMap<usize, Handover>>,
    given_up: AtomicBool,
    /// Which engine of a team had its last chunk.
    engine: AtomicUsize,
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
            engine: AtomicUsize::new(NO_ENGINE),
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

    pub(super) fn take_ears(&self) -> Vec<Ear> {
        std::mem::take(&mut *self.ears.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Chunk `index` left off here; the one behind it may go on.
    pub fn hand_over(&self, index: usize, handover: Handover) {
        self.handovers().insert(index, handover);
    }

    pub(super) fn handovers(&self) -> MutexGuard<'_, HashMap<usize, Handover>> {
        self.handovers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn engine(&self) -> Option<usize> {
        Some(self.engine.load(Ordering::Relaxed)).filter(|engine| *engine != NO_ENGINE)
    }

    pub(super) fn set_engine(&self, engine: usize) {
        self.engine.store(engine, Ordering::Relaxed);
    }

    /// Whether its chunks are no longer wanted.
    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn tell(&self, chunk: usize, event: Event) {
        (self.listener)(chunk, event);
    }

    /// The first failure is told; with it all chunks are given up.
    pub(super) fn fail(&self, chunk: usize, error: Error) {
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
