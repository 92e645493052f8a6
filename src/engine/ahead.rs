//! Steps of sequences that choose their own tokens where the scores are.

use std::time::Instant;

use super::worker::{Worker, fail, not_short};
use crate::error::{Error, Result, catch_panic};
use crate::models::{AheadInput, Chosen};
use crate::test_hooks;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// Tokens, of so many steps at most.
    Choosing { steps: usize },
    /// So many of the likeliest tokens, of one step.
    Ranked { count: usize },
}

impl Worker {
    /// A few steps for all sequences that need nobody to look at their scores. The error is that memory is short.
    pub(super) fn go_ahead(&mut self, slots: &[usize], how: How) -> Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let outcome = match not_short(self.run_ahead(slots, how))? {
            Ok(counts) => {
                self.take_chosen(slots, &counts);
                Ok(())
            }
            // One after the other, to see whose fault it is.
            Err(_) => slots.iter().try_for_each(|&slot| {
                match not_short(self.run_ahead(&[slot], how))? {
                    Ok(counts) => self.take_chosen(&[slot], &counts),
                    Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
                }
                Ok(())
            }),
        };
        self.stats.decoding += started.elapsed().as_secs_f64();
        outcome
    }

    /// How many sequences each of the desks has.
    fn run_ahead(&mut self, slots: &[usize], how: How) -> Result<Vec<usize>> {
        let mut inputs: Vec<AheadInput<'_>> = Vec::new();
        let steps = match how {
            How::Choosing { steps } => steps,
            How::Ranked { .. } => 1,
        };
        let mut counts = Vec::with_capacity(slots.len());
        for &slot in slots {
            let before = inputs.len();
            if let Some(desk) = &self.desks[slot] {
                desk.ahead(steps, &mut inputs);
            }
            counts.push(inputs.len() - before);
        }
        let (backend, cancel, chosen) = (&mut *self.backend, &self.signals.cancel, &mut self.chosen);
        catch_panic("decoding", || {
            test_hooks::reached("step", cancel);
            match how {
                How::Choosing { .. } => backend.go_ahead(&inputs, chosen),
                How::Ranked { count } => backend.rank(&inputs, count, chosen),
            }
        })?;
        let is_choosing = matches!(how, How::Choosing { .. });
        if chosen.len() != inputs.len() || is_choosing && chosen.iter().any(Vec::is_empty) {
            return Err(Error::compute("decoding", "the model chose no token"));
        }
        let steps = |chosen: &Chosen| if is_choosing { chosen.len() as u64 } else { 1 };
        self.stats.steps += chosen.iter().map(steps).max().unwrap_or(0);
        self.stats.rows += chosen.iter().map(steps).sum::<u64>();
        Ok(counts)
    }

    /// Gives each of the desks what its sequences chose.
    fn take_chosen(&mut self, slots: &[usize], counts: &[usize]) {
        let all = std::mem::take(&mut self.chosen);
        let mut rest = all.as_slice();
        for (&slot, &count) in slots.iter().zip(counts) {
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            let Some(desk) = &mut self.desks[slot] else { continue };
            let (seats, backend) = (&mut self.seats, &mut *self.backend);
            let outcome = catch_panic("decoding", || {
                let taken = desk.take_chosen(own)?;
                let (begun, falls_back) = desk.settle(seats, backend)?;
                Ok((taken + begun, falls_back))
            });
            self.settled(slot, outcome);
        }
        self.chosen = all;
    }
}
