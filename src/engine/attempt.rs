//! One attempt at one window on its way through the decoder: the prompt, then the search for what follows it.

use super::search::{self, Needs, Searching, Stage};
use super::seats::Seats;
use crate::decode::sampling::probability;
use crate::decode::{Chunk, Hypothesis, WindowRequest};
use crate::error::Result;
use crate::models::{AheadInput, Backend, Chosen, RowInput};

pub struct Attempt {
    pub request: WindowRequest,
    search: Box<dyn Searching>,
    /// None until the prompt was fed.
    heard: Option<Heard>,
    /// Where in the prompt logits are wanted.
    logits_after: Vec<usize>,
}

/// What the prompt gave.
struct Heard {
    no_speech_prob: f32,
    /// What follows the prompt, as long as a sequence may begin with it.
    logits: Vec<f32>,
}

/// A finished attempt.
pub struct Finished {
    pub request: WindowRequest,
    pub found: Vec<Hypothesis>,
    pub no_speech_prob: f32,
}

impl Attempt {
    pub fn new(chunk: &Chunk, request: WindowRequest) -> Self {
        let last = request.initial_tokens.len() - 1;
        let mut logits_after = vec![request.sot_index, last];
        logits_after.dedup();
        Attempt { search: search::begin(chunk, &request), heard: None, logits_after, request }
    }

    /// What to feed next: the prompt, or the last token of each running sequence.
    pub fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        match self.heard {
            Some(_) => self.search.rows(window, out),
            None => out.push(RowInput {
                sequence: window,
                window,
                position: 0,
                tokens: &self.request.initial_tokens,
                logits_after: &self.logits_after,
            }),
        }
    }

    /// Takes the logits of all its rows, and counts the tokens chosen.
    pub fn accept(&mut self, logits: &mut [f32], no_speech: u32) -> Result<u64> {
        if self.heard.is_some() {
            return self.search.accept(logits);
        }
        let n_vocab = logits.len() / self.logits_after.len();
        let no_speech_prob = probability(&logits[..n_vocab], no_speech);
        self.heard = Some(Heard { no_speech_prob, logits: logits[logits.len() - n_vocab..].to_vec() });
        Ok(0)
    }

    pub fn needs(&self) -> Needs {
        if self.heard.is_some() { self.search.needs() } else { Needs::Scores }
    }

    pub fn ahead<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<AheadInput<'a>>) {
        self.search.ahead(window, steps, out);
    }

    pub fn take_chosen(&mut self, chosen: &[Chosen]) -> Result<u64> {
        self.search.take_chosen(chosen)
    }

    /// Lets sequences begin or move for whom there are seats, and counts the tokens chosen.
    pub fn seat(&mut self, window: usize, seats: &mut Seats, backend: &mut dyn Backend) -> Result<u64> {
        let Some(heard) = &mut self.heard else { return Ok(0) };
        let prompt = self.request.initial_tokens.len();
        self.search.seat(&mut Stage { window, prompt, logits: &mut heard.logits, seats, backend })
    }

    pub fn is_finished(&self) -> bool {
        self.heard.is_some() && self.search.is_finished()
    }

    /// Gives back all seats but the window's own, whatever state it is in.
    pub fn abandon(&mut self, window: usize, seats: &mut Seats) {
        self.search.abandon(window, seats);
    }

    pub fn finish(self) -> Finished {
        Finished {
            request: self.request,
            found: self.search.finish(),
            no_speech_prob: self.heard.map_or(f32::NAN, |heard| heard.no_speech_prob),
        }
    }
}
