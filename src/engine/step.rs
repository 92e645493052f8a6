//! One step of the decoder: the next token of every running sequence, and the whole prompt of those that begin.

use std::time::Instant;

use super::chunk::{ActiveChunk, StepProgress};
use super::search::SearchNeeds;
use super::worker::Worker;
use crate::error::{Error, Result, catch_panic};
use crate::models::RowInput;
use crate::test_hooks;

impl Worker {
    /// Advances all chunks whose window is encoded. The error is a lack of memory.
    pub fn step(&mut self) -> Result<()> {
        if self.signals.cancel.reason().is_some() {
            return Ok(());
        }
        self.wait_if_blocked()?;
        let (steps, max_ranked) = (self.backend.sampling_steps(), self.backend.max_ranked());
        let (mut scored, mut sampled, mut ranked, mut count) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for slot in self.ready_slots(|_| true) {
            match self.slots[slot].as_ref().map_or(SearchNeeds::Logits, ActiveChunk::needs) {
                SearchNeeds::Sampling if steps > 0 => sampled.push(slot),
                SearchNeeds::Ranking(wanted) if wanted <= max_ranked => {
                    count = wanted.max(count);
                    ranked.push(slot);
                }
                _ => scored.push(slot),
            }
        }
        self.timed_step(&scored, Self::score)?;
        self.timed_step(&sampled, |worker, slots| worker.sample(slots, steps))?;
        self.timed_step(&ranked, |worker, slots| worker.rank(slots, count))
    }

    /// Runs a step for several slots in one batch, and again for each alone if it fails.
    fn timed_step(&mut self, slots: &[usize], run: impl Fn(&mut Self, &[usize]) -> Result<()>) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let outcome = run(self, slots);
        let outcome = self.recover(outcome, slots, |worker, slot| run(worker, &[slot]));
        self.stats.decoding += started.elapsed().as_secs_f64();
        outcome
    }

    /// Feeds the rows of these slots, and hands the logits to their chunks.
    fn score(&mut self, slots: &[usize]) -> Result<()> {
        let mut logits = std::mem::take(&mut self.logits);
        let outcome = self.feed(slots, &mut logits);
        if outcome.is_ok() {
            self.distribute(slots, &mut logits);
        }
        self.logits = logits;
        outcome
    }

    fn feed(&mut self, slots: &[usize], logits: &mut Vec<f32>) -> Result<()> {
        let rows = rows(&self.slots, slots);
        if rows.is_empty() {
            logits.clear();
            return Ok(());
        }
        let wanted: usize = rows.iter().map(|row| row.logits_after.len()).sum();
        self.stats.steps += 1;
        self.stats.rows += rows.len() as u64;
        let (backend, cancel) = (&mut *self.backend, &self.signals.cancel);
        catch_panic("decoding", || {
            test_hooks::reached("step", cancel);
            backend.decode(&rows, logits)
        })?;
        if logits.len() != wanted * self.backend.spec().n_vocab {
            let why = "the model returned another number of logits than was asked for";
            return Err(Error::compute("decoding", why));
        }
        Ok(())
    }

    fn distribute(&mut self, slots: &[usize], logits: &mut [f32]) {
        let n_vocab = self.backend.spec().n_vocab;
        let lens: Vec<usize> = slots
            .iter()
            .map(|&slot| rows(&self.slots, &[slot]).iter().map(|row| row.logits_after.len() * n_vocab).sum())
            .collect();
        let mut rest = logits;
        for (&slot, len) in slots.iter().zip(lens) {
            let (own, others) = rest.split_at_mut(len);
            rest = others;
            let Some(chunk) = &mut self.slots[slot] else { continue };
            let (model, pool, backend) = (&self.model, &mut self.sequences, &mut *self.backend);
            let outcome = catch_panic("decoding", || {
                let accepted = chunk.accept_logits(own, model)?;
                let StepProgress { tokens, fell_back } = chunk.advance(pool, backend)?;
                Ok(StepProgress { tokens: accepted + tokens, fell_back })
            });
            self.close_step(slot, outcome);
        }
    }
}

/// Returns the rows to feed of the chunks in these slots.
fn rows<'a>(chunks: &'a [Option<ActiveChunk>], slots: &[usize]) -> Vec<RowInput<'a>> {
    let mut rows = Vec::new();
    let chunks = slots.iter().filter_map(|&slot| chunks[slot].as_ref());
    chunks.for_each(|chunk| chunk.rows(&mut rows));
    rows
}
