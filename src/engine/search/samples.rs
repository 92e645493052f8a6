//! Independent candidates, of which the best is taken.
//!
//! The first one runs in the slot where the prompt was fed. The others get a copy of the prompt in a slot of the
//! pool, or run in the first one's slot after it. The result does not depend on how many ran at a time.

use super::{Search, SearchNeeds, SequenceResources, check_status};
use crate::decode::sequence::{Sequence, SequenceStatus};
use crate::decode::{ChunkDecoder, Hypothesis, WindowRequest};
use crate::engine::slots::SequencePool;
use crate::error::Result;
use crate::models::{RowInput, SampledTokens, SamplingInput};

pub struct SampleSearch {
    candidates: Vec<Candidate>,
}

struct Candidate {
    sequence: Sequence,
    /// Held until it is given back.
    slot: Option<usize>,
    is_done: bool,
}

impl Candidate {
    fn is_waiting(&self) -> bool {
        self.slot.is_none() && !self.is_done
    }

    /// Returns its slot while it runs.
    fn running_slot(&self) -> Option<usize> {
        self.slot.filter(|_| !self.is_done)
    }

    fn advance(&mut self, logits: &mut [f32]) -> Result<()> {
        self.is_done = check_status(self.sequence.advance(logits))? == SequenceStatus::Finished;
        Ok(())
    }
}

impl SampleSearch {
    pub fn new(decoder: &ChunkDecoder, request: &WindowRequest, count: usize) -> Self {
        let candidate =
            |index| Candidate { sequence: decoder.sequence(request, index), slot: None, is_done: false };
        SampleSearch { candidates: (0..count.max(1)).map(candidate).collect() }
    }

    fn running(&self) -> impl Iterator<Item = (&Candidate, usize)> {
        self.candidates.iter().filter_map(|candidate| Some((candidate, candidate.running_slot()?)))
    }

    fn release_slots(
        &mut self,
        window: usize,
        pool: &mut SequencePool,
        releases: impl Fn(&Candidate) -> bool,
    ) {
        for candidate in self.candidates.iter_mut().filter(|candidate| releases(candidate)) {
            if let Some(slot) = candidate.slot.take_if(|slot| *slot != window) {
                pool.put_back(slot);
            }
        }
    }
}

impl Search for SampleSearch {
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        for (candidate, sequence) in self.running() {
            let (position, tokens) = candidate.sequence.last();
            out.push(RowInput { sequence, window, position, tokens, logits_after: &[0] });
        }
    }

    fn accept_logits(&mut self, logits: &mut [f32]) -> Result<u64> {
        let running = self.candidates.iter_mut().filter(|candidate| candidate.running_slot().is_some());
        let mut running: Vec<&mut Candidate> = running.collect();
        let n_vocab = logits.len() / running.len().max(1);
        for (candidate, row) in running.iter_mut().zip(logits.chunks_exact_mut(n_vocab.max(1))) {
            candidate.advance(row)?;
        }
        Ok(running.len() as u64)
    }

    fn needs(&self) -> SearchNeeds {
        let mut running = self.running().peekable();
        match running.peek().is_some() && running.all(|(c, _)| c.sequence.state(0).is_some()) {
            true => SearchNeeds::Sampling,
            false => SearchNeeds::Logits,
        }
    }

    fn sampling_inputs<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<SamplingInput<'a>>) {
        for (candidate, sequence) in self.running() {
            if let Some(state) = candidate.sequence.state(steps) {
                let (position, last) = candidate.sequence.last();
                out.push(SamplingInput::of(state, (sequence, window), (position, last[0])));
            }
        }
    }

    fn accept_sampled(&mut self, sampled: &[SampledTokens]) -> Result<u64> {
        let mut tokens = 0;
        let running = self.candidates.iter_mut().filter(|candidate| candidate.running_slot().is_some());
        for (candidate, own) in running.zip(sampled) {
            for &(token, log_prob) in own {
                let status = check_status(candidate.sequence.take(token, log_prob))?;
                candidate.is_done = status == SequenceStatus::Finished;
                tokens += 1;
                if candidate.is_done {
                    break;
                }
            }
        }
        Ok(tokens)
    }

    /// A candidate may end with its first token and leave its slot to the next one, so the loop ends only when no
    /// other can begin.
    fn assign_slots(&mut self, resources: &mut SequenceResources<'_>) -> Result<u64> {
        let window = resources.window;
        self.release_slots(window, resources.pool, |candidate| candidate.is_done);
        let mut tokens = 0;
        let mut own_is_free = self.running().all(|(_, slot)| slot != window);
        let mut logits = Vec::new();
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.is_waiting()) {
            let slot = if own_is_free { Some(window) } else { resources.pool.take() };
            let Some(slot) = slot else { break };
            candidate.slot = Some(slot);
            // Feeding overwrites only positions after the prompt, so the copy in the window's own slot stays whole.
            if slot != window {
                resources.backend.copy_sequence(window, slot, 0..resources.prompt_len)?;
            }
            logits.clone_from(resources.logits);
            candidate.advance(&mut logits)?;
            tokens += 1;
            if slot == window {
                own_is_free = candidate.is_done;
            } else if candidate.is_done {
                candidate.slot = None;
                resources.pool.put_back(slot);
            }
        }
        if !self.candidates.iter().any(Candidate::is_waiting) {
            *resources.logits = Vec::new();
        }
        Ok(tokens)
    }

    fn is_finished(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.is_done)
    }

    fn release(&mut self, window: usize, pool: &mut SequencePool) {
        self.release_slots(window, pool, |_| true);
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        self.candidates.into_iter().map(|candidate| candidate.sequence.finish()).collect()
    }
}
