//! How the sequences of one attempt sit in the backend's sequence slots while they look for the window's text.

mod beams;
mod samples;

use super::seats::Seats;
use crate::decode::sequence::Status;
use crate::decode::{self, Chunk, Hypothesis, WindowRequest};
use crate::error::{Error, Result};
use crate::models::{AheadInput, Backend, Chosen, RowInput};

/// What a search must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The scores of all tokens.
    Scores,
    /// Nothing: its sequences can choose their own tokens.
    Nothing,
    /// So many of the likeliest tokens after each of its sequences.
    Ranks(usize),
}

pub trait Searching: Send {
    /// The last token of every sequence that needs logits.
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>);

    /// Takes a row of logits for each of them, and counts the tokens chosen.
    fn accept(&mut self, logits: &mut [f32]) -> Result<u64>;

    /// What it needs to go on.
    fn needs(&self) -> Needs;

    /// Every running sequence, unless it needs scores.
    fn ahead<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<AheadInput<'a>>);

    /// Takes what each of them chose, or what may follow it, and counts the tokens.
    fn take_chosen(&mut self, chosen: &[Chosen]) -> Result<u64>;

    /// Lets sequences begin or move for whom there are seats, and counts the tokens chosen.
    fn seat(&mut self, stage: &mut Stage<'_>) -> Result<u64>;

    fn is_finished(&self) -> bool;

    /// Gives back all seats but the window's own, whatever state it is in.
    fn abandon(&mut self, window: usize, seats: &mut Seats);

    fn finish(self: Box<Self>) -> Vec<Hypothesis>;
}

/// Where sequences sit, and what they begin with.
pub struct Stage<'a> {
    /// The window slot, and the sequence slot that belongs to it: the prompt was fed there.
    pub window: usize,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// What follows the prompt; taken away when nobody will begin any more.
    pub logits: &'a mut Vec<f32>,
    pub seats: &'a mut Seats,
    pub backend: &'a mut dyn Backend,
}

pub fn begin(chunk: &Chunk, request: &WindowRequest) -> Box<dyn Searching> {
    match request.search {
        decode::Search::Samples(count) => Box::new(samples::Samples::new(chunk, request, count)),
        decode::Search::Beams(width) => Box::new(beams::Beams::new(chunk.beam(request, width))),
    }
}

fn not_broken(status: Status) -> Result<Status> {
    match status {
        Status::Broken => Err(Error::compute("decoding", "the model's output is not a number")),
        status => Ok(status),
    }
}
