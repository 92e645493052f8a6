//! Beam search.
//!
//! A beam that continues in one way keeps its sequence slot. One that continues in several ways is copied to the
//! slots of beams that were dropped, from the position where the two differ: mostly a few tokens, never the prompt
//! nor the cross-attention.

use super::{Search, SearchNeeds, SequenceResources, check_status};
use crate::decode::Hypothesis;
use crate::decode::beam::Beam;
use crate::decode::sequence::SequenceStatus;
use crate::engine::slots::SequencePool;
use crate::error::{Error, Result};
use crate::models::{RowInput, SampledTokens, SamplingInput};

pub struct BeamSearch {
    beam: Beam,
    /// One for each beam that may be live, the window's own first; empty before the search begins.
    slots: Vec<BeamSlot>,
    /// The index in `slots` of each live beam.
    slot_of: Vec<usize>,
    /// The beams advanced, and their slots must be assigned anew.
    needs_move: bool,
    is_finished: bool,
}

struct BeamSlot {
    sequence: usize,
    /// The tokens whose keys and values the slot holds.
    cached: Vec<u32>,
}

impl BeamSearch {
    pub fn new(beam: Beam) -> Self {
        BeamSearch { beam, slots: Vec::new(), slot_of: Vec::new(), needs_move: false, is_finished: false }
    }

    fn advance(&mut self, logits: &mut [f32]) -> Result<u64> {
        self.mark_fed();
        let status = self.beam.advance(logits);
        self.close_step(status)
    }

    /// Records that every slot now holds all tokens of its beam.
    fn mark_fed(&mut self) {
        for (index, &slot) in self.slot_of.iter().enumerate() {
            let (cached, tokens) = (&mut self.slots[slot].cached, self.beam.tokens(index));
            cached.truncate(common_prefix(cached, tokens));
            cached.extend_from_slice(&tokens[cached.len()..]);
        }
    }

    fn close_step(&mut self, status: SequenceStatus) -> Result<u64> {
        self.is_finished = check_status(status)? == SequenceStatus::Finished;
        self.needs_move = true;
        Ok(self.beam.last().count() as u64)
    }

    /// Takes the slots of all beams at once, as the search cannot begin with some of them. Returns false if there are
    /// not enough now.
    fn take_slots(&mut self, resources: &mut SequenceResources<'_>) -> Result<bool> {
        let others = self.beam.width() - 1;
        let capacity = resources.backend.capacity();
        if capacity.sequences < capacity.windows + others {
            return Err(Error::compute("decoding", "there are fewer sequence slots than beams"));
        }
        let Some(taken) = resources.pool.take_many(others) else { return Ok(false) };
        let slot = |sequence| BeamSlot { sequence, cached: Vec::new() };
        self.slots = std::iter::once(resources.window).chain(taken).map(slot).collect();
        self.slot_of = vec![0];
        Ok(true)
    }

    /// Assigns every live beam a slot that holds what it continues.
    fn move_beams(&mut self, resources: &mut SequenceResources<'_>) -> Result<()> {
        let parents: Vec<usize> = self.beam.last().map(|(_, _, parent)| self.slot_of[parent]).collect();
        let mut is_free = vec![true; self.slots.len()];
        // The first child keeps its parent's slot.
        let mut assigned: Vec<Option<usize>> =
            parents.iter().map(|&parent| std::mem::take(&mut is_free[parent]).then_some(parent)).collect();
        for (assigned, &parent) in assigned.iter_mut().zip(&parents).filter(|(slot, _)| slot.is_none()) {
            let shared = |slot: usize| common_prefix(&self.slots[slot].cached, &self.slots[parent].cached);
            let nearest = (0..is_free.len()).filter(|slot| is_free[*slot]).max_by_key(|slot| shared(*slot));
            let Some(target) = nearest else {
                return Err(Error::compute("decoding", "there are more beams than sequence slots"));
            };
            let (source, cached) = (self.slots[parent].sequence, self.slots[parent].cached.clone());
            let positions = shared(target)..cached.len();
            resources.backend.copy_sequence(source, self.slots[target].sequence, positions)?;
            self.slots[target].cached = cached;
            is_free[target] = false;
            *assigned = Some(target);
        }
        self.slot_of = assigned.into_iter().flatten().collect();
        self.needs_move = false;
        Ok(())
    }
}

impl Search for BeamSearch {
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        for ((position, tokens, _), &slot) in self.beam.last().zip(&self.slot_of) {
            let sequence = self.slots[slot].sequence;
            out.push(RowInput { sequence, window, position, tokens, logits_after: &[0] });
        }
    }

    fn accept_logits(&mut self, logits: &mut [f32]) -> Result<u64> {
        // Without slots it had no rows.
        if self.slot_of.is_empty() { Ok(0) } else { self.advance(logits) }
    }

    fn needs(&self) -> SearchNeeds {
        match !self.slot_of.is_empty() && self.beam.states().is_some() {
            true => SearchNeeds::Ranking(self.beam.rank_count()),
            false => SearchNeeds::Logits,
        }
    }

    fn sampling_inputs<'a>(&'a self, window: usize, _: usize, out: &mut Vec<SamplingInput<'a>>) {
        let states = self.beam.states().into_iter().flatten();
        for (((position, last, _), state), &slot) in self.beam.last().zip(states).zip(&self.slot_of) {
            let sequence = self.slots[slot].sequence;
            out.push(SamplingInput::of(state, (sequence, window), (position, last[0])));
        }
    }

    fn accept_sampled(&mut self, sampled: &[SampledTokens]) -> Result<u64> {
        self.mark_fed();
        let status = self.beam.advance_by(sampled);
        self.close_step(status)
    }

    fn assign_slots(&mut self, resources: &mut SequenceResources<'_>) -> Result<u64> {
        let mut tokens = 0;
        if self.slots.is_empty() {
            if !self.take_slots(resources)? {
                return Ok(0);
            }
            let mut logits = std::mem::take(resources.logits);
            tokens = self.advance(&mut logits)?;
        }
        if self.needs_move && !self.is_finished {
            self.move_beams(resources)?;
        }
        Ok(tokens)
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn release(&mut self, window: usize, pool: &mut SequencePool) {
        let others = self.slots.iter().map(|slot| slot.sequence).filter(|sequence| *sequence != window);
        others.for_each(|sequence| pool.put_back(sequence));
        self.slots.clear();
        self.slot_of.clear();
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        self.beam.finish()
    }
}

/// Returns how many tokens two sequences begin with in common.
fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
