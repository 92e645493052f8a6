//! The engine's thread: seats chunks, encodes their windows, moves all sequences on by a token, again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crossbeam_channel::Receiver;

use super::ahead::How;
use super::desk::{Desk, Model};
use super::hearing::UnderWay;
use super::search::Needs;
use super::seats::Seats;
use super::{Stats, Task};
use crate::cancel::CancelToken;
use crate::decode::{Alignment, Tokenizer};
use crate::device::memory::ReleasePolicy;
use crate::error::{Error, Result, catch_panic};
use crate::models::{Backend, Chosen, RowInput};
use crate::test_hooks;

/// What others tell the thread and read of it.
pub struct Signals {
    pub cancel: CancelToken,
    pub closing: Arc<AtomicBool>,
    pub stats: Arc<Mutex<Stats>>,
}

pub struct Worker {
    pub(super) backend: Box<dyn Backend>,
    pub(super) model: Model,
    pub(super) signals: Signals,
    /// By window slot.
    pub(super) desks: Vec<Option<Desk>>,
    pub(super) seats: Seats,
    pub(super) waiting: Vec<Task>,
    /// Chunks in work that lost their slot when memory was short; they come first.
    pub(super) parked: Vec<Desk>,
    pub(super) release: ReleasePolicy,
    pub(super) mels: Vec<Vec<f32>>,
    /// Windows that the backend is encoding.
    pub(super) under_way: Vec<UnderWay>,
    logits: Vec<f32>,
    pub(super) chosen: Vec<Chosen>,
    pub(super) alignments: Vec<Alignment>,
    pub(super) stats: Stats,
}

impl Worker {
    pub fn new(
        backend: Box<dyn Backend>,
        tokenizer: Arc<Tokenizer>,
        release: ReleasePolicy,
        signals: Signals,
    ) -> Self {
        let capacity = backend.capacity();
        let windows = capacity.windows.min(capacity.sequences);
        let n_text_ctx = backend.spec().n_text_ctx;
        Worker {
            backend,
            model: Model { tokenizer, n_text_ctx },
            signals,
            desks: (0..windows).map(|_| None).collect(),
            seats: Seats::new(windows, capacity.sequences),
            waiting: Vec::new(),
            parked: Vec::new(),
            release,
            mels: Vec::new(),
            under_way: Vec::new(),
            logits: Vec::new(),
            chosen: Vec::new(),
            alignments: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// Works until it is told to close, or until nobody can send any more and all is done; then the backend goes.
    pub fn run(mut self, inbox: &Receiver<Task>) -> Result<()> {
        while self.receive(inbox) {
            if self.signals.closing.load(Ordering::Relaxed) {
                self.drop_everything(|| Error::compute("decoding", "the engine was closed"));
                continue;
            }
            if let Some(reason) = self.signals.cancel.reason() {
                self.drop_everything(|| Error::Cancelled(reason));
                continue;
            }
            let started = Instant::now();
            (self.stats.taken, self.stats.slots) = (self.seat_tasks(), self.desks.len());
            let taken = self.stats.taken as f64 / self.stats.slots.max(1) as f64;
            let worked = self.encode().and_then(|()| self.decode()).and_then(|()| self.align());
            self.leave();
            if let Err(error) = worked {
                self.make_do_with_less(error);
            }
            let seconds = started.elapsed().as_secs_f64();
            self.stats.busy += seconds;
            self.stats.occupied += seconds * taken;
            self.publish();
        }
        self.publish();
        test_hooks::reached("close", &self.signals.cancel);
        self.backend.close()
    }

    /// Takes what has come in; waits for it if there is nothing to do. False at the end.
    fn receive(&mut self, inbox: &Receiver<Task>) -> bool {
        self.waiting.extend(inbox.try_iter());
        if self.is_idle() {
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
        self.waiting.is_empty() && self.parked.is_empty() && self.desks.iter().all(Option::is_none)
    }

    pub(super) fn publish(&self) {
        *self.signals.stats.lock().unwrap_or_else(PoisonError::into_inner) = self.stats;
    }

    /// Puts waiting chunks into free slots, earlier recordings and chunks first; tells how many slots are taken.
    fn seat_tasks(&mut self) -> usize {
        test_hooks::reached("seat", &self.signals.cancel);
        self.waiting.retain(|task| !task.recording.is_given_up());
        self.waiting.sort_by_key(|task| (task.recording.order, task.index));
        self.parked.retain(|desk| !desk.recording().is_given_up());
        for slot in 0..self.desks.len() {
            if self.desks[slot].is_none() && !self.parked.is_empty() {
                let mut desk = self.parked.remove(0);
                desk.sit_at(slot);
                self.desks[slot] = Some(desk);
            }
            while self.desks[slot].is_none() {
                let Some(next) = self.waiting.iter().position(Desk::can_open) else { break };
                let desk = Desk::open(self.waiting.remove(next), slot, &self.model);
                // A chunk without a window is done at once.
                if desk.is_done() {
                    desk.finish().into_iter().for_each(|finish| self.finish(finish));
                } else {
                    self.desks[slot] = Some(desk);
                }
            }
        }
        self.desks.iter().flatten().count()
    }

    /// One token for every running sequence, and the whole prompt for those that begin. The error is that memory
    /// is short.
    fn decode(&mut self) -> Result<()> {
        if self.signals.cancel.reason().is_some() {
            return Ok(());
        }
        self.wait_for_windows()?;
        let slots: Vec<usize> = (0..self.desks.len())
            .filter(|&slot| self.desks[slot].as_ref().is_some_and(|desk| desk.missing_window().is_none()))
            .collect();
        let (steps, ranks) = (self.backend.steps_ahead(), self.backend.ranks());
        let (mut scored, mut choosing, mut ranked, mut most) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for slot in slots {
            match self.desks[slot].as_ref().map_or(Needs::Scores, Desk::needs) {
                Needs::Nothing if steps > 0 => choosing.push(slot),
                Needs::Ranks(count) if count <= ranks => {
                    most = count.max(most);
                    ranked.push(slot);
                }
                _ => scored.push(slot),
            }
        }
        self.step(&scored)?;
        self.go_ahead(&choosing, How::Choosing { steps })?;
        self.go_ahead(&ranked, How::Ranked { count: most })
    }

    fn step(&mut self, slots: &[usize]) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let mut logits = std::mem::take(&mut self.logits);
        match not_short(self.feed(slots, &mut logits))? {
            Ok(()) => self.share(slots, &mut logits),
            // One after the other, to see whose fault it is.
            Err(_) => {
                for &slot in slots {
                    match not_short(self.feed(&[slot], &mut logits))? {
                        Ok(()) => self.share(&[slot], &mut logits),
                        Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
                    }
                }
            }
        }
        self.logits = logits;
        self.stats.decoding += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn feed(&mut self, slots: &[usize], logits: &mut Vec<f32>) -> Result<()> {
        let rows = rows(&self.desks, slots);
        if rows.is_empty() {
            logits.clear();
            return Ok(());
        }
        self.stats.steps += 1;
        self.stats.rows += rows.len() as u64;
        let (backend, cancel) = (&mut *self.backend, &self.signals.cancel);
        catch_panic("decoding", || {
            test_hooks::reached("step", cancel);
            backend.decode(&rows, logits)
        })?;
        let wanted: usize = rows.iter().map(|row| row.logits_after.len()).sum();
        if logits.len() != wanted * self.backend.spec().n_vocab {
            let why = "the model gave another number of logits than was asked for";
            return Err(Error::compute("decoding", why));
        }
        Ok(())
    }

    /// Gives each of the desks its part of the logits.
    fn share(&mut self, slots: &[usize], logits: &mut [f32]) {
        let n_vocab = self.backend.spec().n_vocab;
        let parts: Vec<usize> = slots
            .iter()
            .map(|&slot| rows(&self.desks, &[slot]).iter().map(|row| row.logits_after.len() * n_vocab).sum())
            .collect();
        let mut rest = logits;
        for (&slot, part) in slots.iter().zip(parts) {
            let (own, others) = rest.split_at_mut(part);
            rest = others;
            let Some(desk) = &mut self.desks[slot] else { continue };
            let (model, seats, backend) = (&self.model, &mut self.seats, &mut *self.backend);
            let outcome = catch_panic("decoding", || {
                let accepted = desk.accept(own, model)?;
                let (begun, falls_back) = desk.settle(seats, backend)?;
                Ok((accepted + begun, falls_back))
            });
            self.settled(slot, outcome);
        }
    }

    /// Counts the tokens that a desk chose, and whether it went into another attempt.
    pub(super) fn settled(&mut self, slot: usize, outcome: Result<(u64, bool)>) {
        match outcome {
            Ok((tokens, falls_back)) => {
                self.stats.tokens += tokens;
                self.stats.fallbacks += u64::from(falls_back);
                if falls_back {
                    test_hooks::reached("fallback", &self.signals.cancel);
                }
            }
            Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
        }
    }

    /// Frees the slots of chunks that are done or no longer wanted.
    fn leave(&mut self) {
        let mut done = Vec::new();
        for desk in &mut self.desks {
            if let Some(mut left) = desk.take_if(|desk| desk.is_done() || desk.recording().is_given_up()) {
                left.abandon(&mut self.seats);
                done.extend(left.finish());
            }
        }
        done.into_iter().for_each(|finish| self.finish(finish));
    }

    fn drop_everything(&mut self, why: impl Fn() -> Error) {
        self.give_up_windows();
        for desk in &mut self.desks {
            fail(desk, &mut self.seats, why());
        }
        for desk in self.parked.drain(..) {
            fail(&mut Some(desk), &mut self.seats, why());
        }
        for task in self.waiting.drain(..) {
            task.recording.fail(task.index, why());
        }
        self.publish();
    }
}

fn rows<'a>(desks: &'a [Option<Desk>], slots: &[usize]) -> Vec<RowInput<'a>> {
    let mut rows = Vec::new();
    slots.iter().filter_map(|&slot| desks[slot].as_ref()).for_each(|desk| desk.rows(&mut rows));
    rows
}

/// Lets a lack of memory through: it is nobody's fault, and all others are dealt with one by one.
pub(super) fn not_short<T>(outcome: Result<T>) -> Result<Result<T>> {
    match outcome {
        Err(error @ Error::OutOfMemory { .. }) => Err(error),
        outcome => Ok(outcome),
    }
}

/// The recording has failed, and with it the chunk leaves its slot.
pub(super) fn fail(desk: &mut Option<Desk>, seats: &mut Seats, error: Error) {
    if let Some(mut desk) = desk.take() {
        desk.abandon(seats);
        desk.recording().fail(desk.index(), error);
    }
}
