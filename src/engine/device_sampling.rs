//! Device sampling: steps of sequences whose next tokens the device chooses or ranks, so that no logits are copied.

use super::chunk::StepProgress;
use super::worker::Worker;
use crate::error::{Error, Result, catch_panic};
use crate::models::{Backend, SampledTokens, SamplingInput};
use crate::test_hooks;

impl Worker {
    /// Lets the sequences of these slots choose their own tokens for at most `steps` steps.
    pub fn sample(&mut self, slots: &[usize], steps: usize) -> Result<()> {
        let lens = self.run_on_device(slots, steps, |backend, inputs, sampled| {
            backend.sample(inputs, sampled)?;
            match sampled.iter().any(Vec::is_empty) {
                true => Err(no_token()),
                false => Ok(()),
            }
        })?;
        self.stats.steps += self.sampled.iter().map(|tokens| tokens.len() as u64).max().unwrap_or(0);
        self.stats.rows += self.sampled.iter().map(|tokens| tokens.len() as u64).sum::<u64>();
        self.distribute_sampled(slots, &lens);
        Ok(())
    }

    /// Advances the sequences of these slots by one step, each of which gets its `count` likeliest next tokens.
    pub fn rank(&mut self, slots: &[usize], count: usize) -> Result<()> {
        let lens =
            self.run_on_device(slots, 1, |backend, inputs, ranked| backend.rank(inputs, count, ranked))?;
        self.stats.steps += u64::from(!self.sampled.is_empty());
        self.stats.rows += self.sampled.len() as u64;
        self.distribute_sampled(slots, &lens);
        Ok(())
    }

    /// Fills `sampled`, and returns how many sequences each of the slots has.
    fn run_on_device(
        &mut self,
        slots: &[usize],
        steps: usize,
        run: impl FnOnce(&mut dyn Backend, &[SamplingInput<'_>], &mut Vec<SampledTokens>) -> Result<()>,
    ) -> Result<Vec<usize>> {
        let mut inputs: Vec<SamplingInput<'_>> = Vec::new();
        let mut lens = Vec::with_capacity(slots.len());
        for &slot in slots {
            let before = inputs.len();
            if let Some(chunk) = &self.slots[slot] {
                chunk.sampling_inputs(steps, &mut inputs);
            }
            lens.push(inputs.len() - before);
        }
        let (backend, cancel, sampled) = (&mut *self.backend, &self.signals.cancel, &mut self.sampled);
        catch_panic("decoding", || {
            test_hooks::reached("step", cancel);
            run(backend, &inputs, sampled)
        })?;
        if sampled.len() == inputs.len() { Ok(lens) } else { Err(no_token()) }
    }

    fn distribute_sampled(&mut self, slots: &[usize], lens: &[usize]) {
        let sampled = std::mem::take(&mut self.sampled);
        let mut rest = sampled.as_slice();
        for (&slot, &len) in slots.iter().zip(lens) {
            let (own, others) = rest.split_at(len.min(rest.len()));
            rest = others;
            let Some(chunk) = &mut self.slots[slot] else { continue };
            let (pool, backend) = (&mut self.sequences, &mut *self.backend);
            let outcome = catch_panic("decoding", || {
                let accepted = chunk.accept_sampled(own)?;
                let StepProgress { tokens, fell_back } = chunk.advance(pool, backend)?;
                Ok(StepProgress { tokens: accepted + tokens, fell_back })
            });
            self.close_step(slot, outcome);
        }
        self.sampled = sampled;
    }
}

fn no_token() -> Error {
    Error::compute("decoding", "the model chose no token")
}
