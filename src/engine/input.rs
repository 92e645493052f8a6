//! What the chunks of one input share, whichever slot they are in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::{ChunkEvent, unpoisoned};
use crate::decode::{DecodeOptions, Handover, Language};
use crate::error::Error;
use crate::mel::Features;

const NO_ENGINE: usize = usize::MAX;

/// Receives the events of an input's chunks: the chunk's index, and the event.
pub type ChunkEventSink = Box<dyn Fn(usize, ChunkEvent) + Send + Sync>;

/// What the chunks of one input share.
pub struct InputContext {
    /// Chunks of the input with the smallest one are started first.
    order: usize,
    options: Arc<DecodeOptions>,
    language: OnceLock<Language>,
    /// Windows that vote on the language.
    probe_windows: Mutex<Vec<ProbeWindow>>,
    /// Where chunks ended that the next one continues, by the chunk's index.
    handovers: Mutex<HashMap<usize, Handover>>,
    is_abandoned: AtomicBool,
    /// Which engine of a group got its last chunk.
    engine: AtomicUsize,
    sink: ChunkEventSink,
}

/// A window that votes on the language.
pub struct ProbeWindow {
    pub seek: usize,
    /// None if the first chunk holds it.
    pub features: Option<Box<dyn Features>>,
}

impl InputContext {
    /// Creates the context of an input whose options have been checked. Unless they give the language, its first
    /// chunk detects it.
    pub fn new(order: usize, options: Arc<DecodeOptions>, sink: ChunkEventSink) -> Self {
        InputContext {
            order,
            options,
            language: OnceLock::new(),
            probe_windows: Mutex::default(),
            handovers: Mutex::default(),
            is_abandoned: AtomicBool::new(false),
            engine: AtomicUsize::new(NO_ENGINE),
            sink,
        }
    }

    pub fn order(&self) -> usize {
        self.order
    }

    pub fn options(&self) -> &Arc<DecodeOptions> {
        &self.options
    }

    /// Returns the language, if it is requested, detected or known from an earlier run.
    pub fn language(&self) -> Option<Language> {
        self.language.get().copied()
    }

    /// Sets the language, unless it is set already.
    pub fn set_language(&self, language: Language) {
        let _ = self.language.set(language);
    }

    /// Returns how many windows may vote on the language.
    pub fn language_windows(&self) -> usize {
        self.options.language_detection_segments
    }

    /// Sets the windows that vote on the language; to be called before the first chunk is submitted. Without any, the
    /// beginning of that chunk votes.
    pub fn set_probe_windows(&self, windows: Vec<ProbeWindow>) {
        *unpoisoned(&self.probe_windows) = windows;
    }

    pub fn take_probe_windows(&self) -> Vec<ProbeWindow> {
        std::mem::take(&mut *unpoisoned(&self.probe_windows))
    }

    /// Records where chunk `index` ended, for the next one to continue.
    pub fn add_handover(&self, index: usize, handover: Handover) {
        unpoisoned(&self.handovers).insert(index, handover);
    }

    pub fn has_handover(&self, index: usize) -> bool {
        unpoisoned(&self.handovers).contains_key(&index)
    }

    pub fn take_handover(&self, index: usize) -> Option<Handover> {
        unpoisoned(&self.handovers).remove(&index)
    }

    /// Returns which engine of a group got the input's last chunk.
    pub fn engine(&self) -> Option<usize> {
        Some(self.engine.load(Ordering::Relaxed)).filter(|engine| *engine != NO_ENGINE)
    }

    pub fn set_engine(&self, engine: usize) {
        self.engine.store(engine, Ordering::Relaxed);
    }

    /// Returns whether its chunks are no longer wanted.
    pub fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
    }

    pub fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }

    pub fn emit(&self, chunk: usize, event: ChunkEvent) {
        (self.sink)(chunk, event);
    }

    /// Emits the first failure only, and abandons all chunks with it.
    pub fn fail(&self, chunk: usize, error: Error) {
        if !self.is_abandoned.swap(true, Ordering::Relaxed) {
            self.emit(chunk, ChunkEvent::Failed(error));
        }
    }
}
