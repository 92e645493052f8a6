//! Searches for the text of a window: which sequences one attempt runs, and in which sequence slots.

mod beams;
mod samples;

use super::slots::SequencePool;
use crate::decode::sequence::SequenceStatus;
use crate::decode::{ChunkDecoder, Hypothesis, SearchStrategy, WindowRequest};
use crate::error::{Error, Result};
use crate::models::{Backend, RowInput, SampledTokens, SamplingInput};

/// What the sequences of a search need to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchNeeds {
    /// The logits of all tokens.
    Logits,
    /// Nothing but a device that samples.
    Sampling,
    /// This many of the likeliest tokens after each sequence.
    Ranking(usize),
}

pub trait Search: Send {
    /// Appends the last token of every sequence that needs logits.
    fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>);

    /// Takes a row of logits for each of them; returns how many tokens were chosen.
    fn accept_logits(&mut self, logits: &mut [f32]) -> Result<u64>;

    fn needs(&self) -> SearchNeeds;

    /// Appends every running sequence, unless it needs logits.
    fn sampling_inputs<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<SamplingInput<'a>>);

    /// Takes what the device chose or ranked for each of them; returns how many tokens were chosen.
    fn accept_sampled(&mut self, sampled: &[SampledTokens]) -> Result<u64>;

    /// Starts or moves the sequences for which there are slots; returns how many tokens were chosen.
    fn assign_slots(&mut self, resources: &mut SequenceResources<'_>) -> Result<u64>;

    fn is_finished(&self) -> bool;

    /// Gives back all sequence slots but the window's own, whatever state it is in.
    fn release(&mut self, window: usize, pool: &mut SequencePool);

    fn finish(self: Box<Self>) -> Vec<Hypothesis>;
}

/// What new sequences are made of.
pub struct SequenceResources<'a> {
    /// The window slot, and the sequence slot that belongs to it and holds the prompt.
    pub window: usize,
    /// Tokens of the prompt.
    pub prompt_len: usize,
    /// Logits after the prompt; taken once no sequence will begin with them.
    pub logits: &'a mut Vec<f32>,
    pub pool: &'a mut SequencePool,
    pub backend: &'a mut dyn Backend,
}

pub fn begin(decoder: &ChunkDecoder, request: &WindowRequest) -> Box<dyn Search> {
    match request.search {
        SearchStrategy::Samples(count) => Box::new(samples::SampleSearch::new(decoder, request, count)),
        SearchStrategy::Beams(width) => Box::new(beams::BeamSearch::new(decoder.beam(request, width))),
    }
}

fn check_status(status: SequenceStatus) -> Result<SequenceStatus> {
    match status {
        SequenceStatus::Broken => Err(Error::NotANumber { during: "decoding" }),
        status => Ok(status),
    }
}
