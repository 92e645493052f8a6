//! Words are timed: the texts of the windows that have just been understood go through the network once more.

use std::time::Instant;

use super::worker::{Worker, fail, not_short};
use crate::error::{Error, Result, catch_panic};
use crate::test_hooks;

impl Worker {
    /// Times the words of every window that waits for it. The error is that memory is short.
    pub(super) fn align(&mut self) -> Result<()> {
        let waits = |slot: &usize| {
            let desk = self.desks[*slot].as_ref();
            desk.is_some_and(|desk| desk.alignment(&self.model).is_some() && desk.missing_window().is_none())
        };
        let slots: Vec<usize> = (0..self.desks.len()).filter(waits).collect();
        if slots.is_empty() || self.signals.cancel.reason().is_some() {
            return Ok(());
        }
        let started = Instant::now();
        match not_short(self.find(&slots))? {
            Ok(()) => self.hand_out(&slots),
            // One after the other, to see whose fault it is.
            Err(_) => {
                for &slot in &slots {
                    match not_short(self.find(&[slot]))? {
                        Ok(()) => self.hand_out(&[slot]),
                        Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
                    }
                }
            }
        }
        self.stats.aligned += slots.len() as u64;
        self.stats.aligning += started.elapsed().as_secs_f64();
        Ok(())
    }

    fn find(&mut self, slots: &[usize]) -> Result<()> {
        let desks = slots.iter().filter_map(|&slot| self.desks[slot].as_ref());
        let inputs: Vec<_> = desks.filter_map(|desk| desk.alignment(&self.model)).collect();
        let (backend, found, cancel) = (&mut *self.backend, &mut self.alignments, &self.signals.cancel);
        catch_panic("timing words", || {
            test_hooks::reached("align", cancel);
            backend.align(&inputs, found)
        })?;
        match found.len() == slots.len() {
            true => Ok(()),
            false => Err(Error::compute("timing words", "the model did not find every text")),
        }
    }

    fn hand_out(&mut self, slots: &[usize]) {
        for (&slot, alignment) in slots.iter().zip(std::mem::take(&mut self.alignments)) {
            let Some(desk) = &mut self.desks[slot] else { continue };
            if let Err(error) = catch_panic("timing words", || desk.take_words(&alignment)) {
                fail(&mut self.desks[slot], &mut self.seats, error);
            }
        }
    }
}
