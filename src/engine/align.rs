//! Word times: the texts of decoded windows go through the network once more.

use std::time::Instant;

use super::worker::Worker;
use crate::error::{Error, Result, catch_panic};
use crate::test_hooks;

impl Worker {
    /// Times the words of every window that waits for it. The error is a lack of memory.
    pub fn align(&mut self) -> Result<()> {
        let slots = self.ready_slots(|chunk| chunk.alignment(&self.model).is_some());
        if slots.is_empty() || self.signals.cancel.reason().is_some() {
            return Ok(());
        }
        let started = Instant::now();
        let outcome = self.align_batch(&slots);
        self.recover(outcome, &slots, |worker, slot| worker.align_batch(&[slot]))?;
        self.stats.aligned += slots.len() as u64;
        self.stats.aligning += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn align_batch(&mut self, slots: &[usize]) -> Result<()> {
        let chunks = slots.iter().filter_map(|&slot| self.slots[slot].as_ref());
        let inputs: Vec<_> = chunks.filter_map(|chunk| chunk.alignment(&self.model)).collect();
        let (backend, found, cancel) = (&mut *self.backend, &mut self.alignments, &self.signals.cancel);
        catch_panic("timing words", || {
            test_hooks::reached("align", cancel);
            backend.align(&inputs, found)
        })?;
        if found.len() != slots.len() {
            return Err(Error::compute("timing words", "the model did not align every text"));
        }
        for (&slot, alignment) in slots.iter().zip(std::mem::take(&mut self.alignments)) {
            let Some(chunk) = &mut self.slots[slot] else { continue };
            if let Err(error) = catch_panic("timing words", || chunk.accept_alignment(&alignment)) {
                self.fail(slot, error);
            }
        }
        Ok(())
    }
}
