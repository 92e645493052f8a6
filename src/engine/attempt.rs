//! One attempt at one window on its way through the decoder: the prompt, then all candidates side by side.
//!
//! The first candidate sits where the prompt was fed; the others get a copy of that as soon as seats are free, or
//! follow on the first one's seat. How many ran at a time does not show in what they say.

use super::seats::Seats;
use crate::backend::{Backend, RowInput};
use crate::decode::sampling::probability;
use crate::decode::sequence::{Sequence, Status};
use crate::decode::{Chunk, WindowRequest};
use crate::error::{Error, Result};

pub struct Attempt {
    pub request: WindowRequest,
    candidates: Vec<Candidate>,
    /// None until the prompt was fed.
    heard: Option<Heard>,
    /// Where in the prompt logits are wanted.
    logits_after: Vec<usize>,
}

/// What the prompt gave.
struct Heard {
    no_speech_prob: f32,
    /// What follows the prompt, as long as a candidate may begin with it.
    logits: Vec<f32>,
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
        match self.sequence.advance(logits) {
            Status::Running => {}
            Status::Finished => self.is_done = true,
            Status::Broken => return Err(Error::compute("decoding", "the model's output is not a number")),
        }
        Ok(())
    }
}

/// A finished attempt.
pub struct Finished {
    pub request: WindowRequest,
    pub sequences: Vec<Sequence>,
    pub no_speech_prob: f32,
}

impl Attempt {
    pub fn new(chunk: &Chunk, request: WindowRequest) -> Self {
        let candidate =
            |index| Candidate { sequence: chunk.sequence(&request, index), seat: None, is_done: false };
        let last = request.initial_tokens.len() - 1;
        let mut logits_after = vec![request.sot_index, last];
        logits_after.dedup();
        Attempt {
            candidates: (0..request.candidates.max(1)).map(candidate).collect(),
            heard: None,
            logits_after,
            request,
        }
    }

    /// What to feed next: the prompt, or the last token of each running candidate.
    pub fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        if self.heard.is_none() {
            out.push(RowInput {
                sequence: window,
                window,
                position: 0,
                tokens: &self.request.initial_tokens,
                logits_after: &self.logits_after,
            });
            return;
        }
        for candidate in &self.candidates {
            if let Some(seat) = candidate.runs_at() {
                let (position, tokens) = candidate.sequence.last();
                out.push(RowInput { sequence: seat, window, position, tokens, logits_after: &[0] });
            }
        }
    }

    /// Takes the logits of all its rows, and counts the tokens chosen.
    pub fn accept(&mut self, logits: &mut [f32], no_speech: u32) -> Result<u64> {
        let rows = if self.heard.is_none() { self.logits_after.len() } else { self.running() };
        let n_vocab = logits.len() / rows.max(1);
        if self.heard.is_none() {
            let no_speech_prob = probability(&logits[..n_vocab], no_speech);
            self.heard = Some(Heard { no_speech_prob, logits: logits[logits.len() - n_vocab..].to_vec() });
            return Ok(0);
        }
        let mut tokens = 0;
        let running = self.candidates.iter_mut().filter(|c| c.runs_at().is_some());
        for (candidate, row) in running.zip(logits.chunks_exact_mut(n_vocab)) {
            tokens += 1;
            candidate.advance(row)?;
        }
        Ok(tokens)
    }

    /// Lets candidates begin for whom there are seats, and counts the tokens chosen. They may end with their
    /// first token, so it goes on until nobody can begin.
    pub fn seat(&mut self, window: usize, seats: &mut Seats, backend: &mut dyn Backend) -> Result<u64> {
        self.leave(window, seats, |candidate| candidate.is_done);
        let Some(heard) = &mut self.heard else { return Ok(0) };
        let (mut tokens, prompt) = (0, self.request.initial_tokens.len());
        let mut own_is_free = self.candidates.iter().all(|c| c.runs_at() != Some(window));
        let mut logits = Vec::new();
        for candidate in self.candidates.iter_mut().filter(|candidate| candidate.is_waiting()) {
            let seat = if own_is_free { Some(window) } else { seats.take() };
            let Some(seat) = seat else { break };
            candidate.seat = Some(seat);
            // Feeding overwrites only what lies behind the prompt: the first seat's copy of it stays whole.
            if seat != window {
                backend.copy_sequence(window, seat, prompt)?;
            }
            logits.clone_from(&heard.logits);
            candidate.advance(&mut logits)?;
            tokens += 1;
            if seat == window {
                own_is_free = candidate.is_done;
            } else if candidate.is_done {
                candidate.seat = None;
                seats.give_back(seat);
            }
        }
        if !self.candidates.iter().any(Candidate::is_waiting) {
            heard.logits = Vec::new();
        }
        Ok(tokens)
    }

    pub fn is_finished(&self) -> bool {
        self.heard.is_some() && self.candidates.iter().all(|candidate| candidate.is_done)
    }

    /// Gives back all seats but the window's own, whatever state it is in.
    pub fn abandon(&mut self, window: usize, seats: &mut Seats) {
        self.leave(window, seats, |_| true);
    }

    fn leave(&mut self, window: usize, seats: &mut Seats, who: impl Fn(&Candidate) -> bool) {
        for candidate in self.candidates.iter_mut().filter(|candidate| who(candidate)) {
            if let Some(seat) = candidate.seat.take_if(|seat| *seat != window) {
                seats.give_back(seat);
            }
        }
    }

    pub fn finish(self) -> Finished {
        Finished {
            request: self.request,
            sequences: self.candidates.into_iter().map(|candidate| candidate.sequence).collect(),
            no_speech_prob: self.heard.map_or(f32::NAN, |heard| heard.no_speech_prob),
        }
    }

    fn running(&self) -> usize {
        self.candidates.iter().filter(|c| c.runs_at().is_some()).count()
    }
}
