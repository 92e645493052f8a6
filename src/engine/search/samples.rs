//! Candidates apart from each other. The first one sits where the prompt was fed; the others get a copy of that as
//! soon as seats are free, or follow on the first one's seat. How many ran at a time does not show in what they say.

use super::{Needs, Searching, Stage, not_broken};
use crate::decode::sequence::{Sequence, Status};
use crate::decode::{Chunk, Hypothesis, WindowRequest};
use crate::engine::seats::Seats;
use crate::error::Result;
use crate::models::{AheadInput, Chosen, RowInput};

pub struct Samples {
    candidates: Vec<Candidate>,
}

struct Candidate {
    sequence: Sequence,
    /// Kept until it is given back.
    seat: Option<usize>,
    is_done: bool,
}

impl Candidate {
    fn is_waiting(&self) -> bool {
        self.seat.is_none() && !self.is_done
    }

    /// Where it sits while it needs logits.
    fn runs_at(&self) -> Option<usize> {
        self.seat.filter(|_| !self.is_done)
    }

    fn advance(&mut self, logits: &mut [f32]) -> Result<()> {
        self.is_done = not_broken(self.sequence.advance(logits))? == Status::Finished;
        Ok(())
    }
}

impl Samples {
    pub fn new(chunk: &Chunk, request: &WindowRequest, count: usize) -> Self {
        let candidate =
            |index| Candidate { sequence: chunk.sequence(request, index), seat: None, is_done: false };
        Samples { candidates: (0..count.max(1)).map(candidate).collect() }
    }

    fn leave(&mut self, window: usize, seats: &mut Seats, who: impl Fn(&Candidate) -> bool) {
        for candidate in self.candidates.iter_mut().filter(|candidate| who(candidate)) {
            if let Some(seat) = candidate.seat.take_if(|seat| *seat != window) {
                seats.give_back(seat);
            }
        }
    }
}

impl Searching for Samples {
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        for candidate in &self.candidates {
            if let Some(seat) = candidate.runs_at() {
                let (position, tokens) = candidate.sequence.last();
                out.push(RowInput { sequence: seat, window, position, tokens, logits_after: &[0] });
            }
        }
    }

    fn accept(&mut self, logits: &mut [f32]) -> Result<u64> {
        let running = self.candidates.iter_mut().filter(|c| c.runs_at().is_some());
        let mut running: Vec<&mut Candidate> = running.collect();
        let n_vocab = logits.len() / running.len().max(1);
        for (candidate, row) in running.iter_mut().zip(logits.chunks_exact_mut(n_vocab.max(1))) {
            candidate.advance(row)?;
        }
        Ok(running.len() as u64)
    }

    fn needs(&self) -> Needs {
        let mut running = self.candidates.iter().filter(|c| c.runs_at().is_some()).peekable();
        match running.peek().is_some() && running.all(|c| c.sequence.standing(0).is_some()) {
            true => Needs::Nothing,
            false => Needs::Scores,
        }
    }

    fn ahead<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<AheadInput<'a>>) {
        for candidate in &self.candidates {
            if let (Some(sequence), Some(standing)) =
                (candidate.runs_at(), candidate.sequence.standing(steps))
            {
                let (position, last) = candidate.sequence.last();
                out.push(AheadInput::of(standing, (sequence, window), (position, last[0])));
            }
        }
    }

    fn take_chosen(&mut self, chosen: &[Chosen]) -> Result<u64> {
        let mut tokens = 0;
        let running = self.candidates.iter_mut().filter(|candidate| candidate.runs_at().is_some());
        for (candidate, own) in running.zip(chosen) {
            for &(token, log_prob) in own {
                candidate.is_done = not_broken(candidate.sequence.take(token, log_prob))? == Status::Finished;
                tokens += 1;
                if candidate.is_done {
                    break;
                }
            }
        }
        Ok(tokens)
    }

    /// They may end with their first token, so it goes on until nobody can begin.
    fn seat(&mut self, stage: &mut Stage<'_>) -> Result<u64> {
        let window = stage.window;
        self.leave(window, stage.seats, |candidate| candidate.is_done);
        let mut tokens = 0;
        let mut own_is_free = self.candidates.iter().all(|c| c.runs_at() != Some(window));
        let mut logits = Vec::new();
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.is_waiting()) {
            let seat = if own_is_free { Some(window) } else { stage.seats.take() };
            let Some(seat) = seat else { break };
            candidate.seat = Some(seat);
            // Feeding overwrites only what lies behind the prompt: the first seat's copy of it stays whole.
            if seat != window {
                stage.backend.copy_sequence(window, seat, 0..stage.prompt)?;
            }
            logits.clone_from(stage.logits);
            candidate.advance(&mut logits)?;
            tokens += 1;
            if seat == window {
                own_is_free = candidate.is_done;
            } else if candidate.is_done {
                candidate.seat = None;
                stage.seats.give_back(seat);
            }
        }
        if !self.candidates.iter().any(Candidate::is_waiting) {
            *stage.logits = Vec::new();
        }
        Ok(tokens)
    }

    fn is_finished(&self) -> bool {
        self.candidates.iter().all(|candidate| candidate.is_done)
    }

    fn abandon(&mut self, window: usize, seats: &mut Seats) {
        self.leave(window, seats, |_| true);
    }

    fn finish(self: Box<Self>) -> Vec<Hypothesis> {
        self.candidates.into_iter().map(|candidate| candidate.sequence.finish()).collect()
    }
}
