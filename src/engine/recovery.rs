//! What happens after a failure: which chunks fail with it, and how the engine continues with less memory.

use std::sync::Arc;

use super::ChunkEvent;
use super::chunk::ActiveChunk;
use super::slots::SequencePool;
use super::worker::Worker;
use crate::error::{Error, Result};
use crate::models::Capacity;

impl Worker {
    /// Handles the outcome of work done for several slots in one batch.
    ///
    /// A lack of memory is returned: no single chunk caused it, and [`shrink`](Self::shrink) deals with it. After any
    /// other failure `alone` repeats the work for one slot after the other, and only the chunks fail whose own work
    /// fails again. The order of the slots is kept.
    pub fn recover(
        &mut self,
        outcome: Result<()>,
        slots: &[usize],
        mut alone: impl FnMut(&mut Self, usize) -> Result<()>,
    ) -> Result<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(error) if is_shortage(&error) => Err(error),
            Err(_) => slots.iter().try_for_each(|&slot| match alone(self, slot) {
                Ok(()) => Ok(()),
                Err(error) if is_shortage(&error) => Err(error),
                Err(error) => {
                    self.fail(slot, error);
                    Ok(())
                }
            }),
        }
    }

    /// Frees the slot of a chunk whose work failed, and reports the failure to its input.
    pub fn fail(&mut self, slot: usize, error: Error) {
        if let Some(chunk) = self.slots[slot].take() {
            self.fail_chunk(chunk, error);
        }
    }

    fn fail_chunk(&mut self, mut chunk: ActiveChunk, error: Error) {
        chunk.release(&mut self.sequences);
        chunk.input().fail(chunk.index(), error);
    }

    /// Fails all chunks, started or not, each with an error of its own.
    pub fn fail_all(&mut self, error: impl Fn() -> Error) {
        let started: Vec<ActiveChunk> =
            self.slots.iter_mut().filter_map(Option::take).chain(self.suspended.drain(..)).collect();
        started.into_iter().for_each(|chunk| self.fail_chunk(chunk, error()));
        for task in self.waiting.drain(..) {
            task.input.fail(task.index, error());
        }
    }

    /// Continues after a lack of memory with half of the window slots. All chunks lose their slots and encode their
    /// window again. If only one slot is left, or shrinking fails too, all chunks fail with the cause.
    pub fn shrink(&mut self, error: Error) {
        if let Err(error) = self.halve(error) {
            let cause = Arc::new(error);
            self.fail_all(|| Error::Shared(Arc::clone(&cause)));
        }
    }

    fn halve(&mut self, error: Error) -> Result<()> {
        self.discard_pending();
        let slots = self.slots.len() / 2;
        if slots == 0 {
            return Err(error);
        }
        let spare = self.backend.capacity().sequences.saturating_sub(self.slots.len());
        let inputs = self.slots.iter().flatten().chain(&self.suspended).map(ActiveChunk::input);
        let inputs = inputs.chain(self.waiting.iter().map(|task| &task.input));
        let beams = inputs.map(|input| input.options().beams_at_once()).max().unwrap_or(1);
        // A window that needs several sequences at once must still find as many as before.
        let extra = spare.div_ceil(2).max(beams - 1).min(spare);
        self.suspended.extend(self.slots.drain(..).flatten());
        self.suspended.iter_mut().for_each(ActiveChunk::suspend);
        self.slots = (0..slots).map(|_| None).collect();
        self.sequences = SequencePool::new(slots, slots + extra);
        self.backend.shrink(Capacity { windows: slots, sequences: slots + extra })?;
        self.backend.release().ok();
        self.suspended.sort_by_key(|chunk| (chunk.input().order(), chunk.index()));
        for chunk in &self.suspended {
            chunk.input().emit(chunk.index(), ChunkEvent::SlotsReduced { slots });
        }
        Ok(())
    }
}

fn is_shortage(error: &Error) -> bool {
    matches!(error, Error::OutOfMemory { .. })
}
