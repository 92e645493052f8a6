//! One attempt at one window: the prompt goes through the decoder, then a search finds the text that follows it.

use super::search::{self, Search, SearchNeeds, SequenceResources};
use super::slots::SequencePool;
use crate::decode::sampling::probability;
use crate::decode::{ChunkDecoder, Hypothesis, WindowRequest};
use crate::error::Result;
use crate::models::{Backend, RowInput, SampledTokens, SamplingInput};

pub struct Attempt {
    pub request: WindowRequest,
    search: Box<dyn Search>,
    /// None until the prompt was fed.
    prompt: Option<PromptResult>,
    /// Positions of the prompt after which logits are wanted.
    logits_after: Vec<usize>,
}

/// What the decoder returned for the prompt.
struct PromptResult {
    no_speech_prob: f32,
    /// Logits after the prompt, kept as long as a sequence may begin with them.
    logits: Vec<f32>,
}

pub struct FinishedAttempt {
    pub request: WindowRequest,
    pub hypotheses: Vec<Hypothesis>,
    pub no_speech_prob: f32,
}

impl Attempt {
    pub fn new(decoder: &ChunkDecoder, request: WindowRequest) -> Self {
        let last = request.initial_tokens.len() - 1;
        let mut logits_after = vec![request.sot_index, last];
        logits_after.dedup();
        Attempt { search: search::begin(decoder, &request), prompt: None, logits_after, request }
    }

    /// Appends the rows to feed next: the prompt, or the last token of each running sequence.
    pub fn rows<'a>(&'a self, window: usize, out: &mut Vec<RowInput<'a>>) {
        match self.prompt {
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

    /// Takes the logits of all its rows; returns how many tokens were chosen.
    pub fn accept_logits(&mut self, logits: &mut [f32], no_speech: u32) -> Result<u64> {
        if self.prompt.is_some() {
            return self.search.accept_logits(logits);
        }
        let n_vocab = logits.len() / self.logits_after.len();
        let no_speech_prob = probability(&logits[..n_vocab], no_speech);
        let logits = logits[logits.len() - n_vocab..].to_vec();
        self.prompt = Some(PromptResult { no_speech_prob, logits });
        Ok(0)
    }

    pub fn needs(&self) -> SearchNeeds {
        if self.prompt.is_some() { self.search.needs() } else { SearchNeeds::Logits }
    }

    pub fn sampling_inputs<'a>(&'a self, window: usize, steps: usize, out: &mut Vec<SamplingInput<'a>>) {
        self.search.sampling_inputs(window, steps, out);
    }

    pub fn accept_sampled(&mut self, sampled: &[SampledTokens]) -> Result<u64> {
        self.search.accept_sampled(sampled)
    }

    /// Starts or moves the sequences for which there are slots; returns how many tokens were chosen.
    pub fn assign_slots(
        &mut self,
        window: usize,
        pool: &mut SequencePool,
        backend: &mut dyn Backend,
    ) -> Result<u64> {
        let Some(prompt) = &mut self.prompt else { return Ok(0) };
        let (prompt_len, logits) = (self.request.initial_tokens.len(), &mut prompt.logits);
        self.search.assign_slots(&mut SequenceResources { window, prompt_len, logits, pool, backend })
    }

    pub fn is_finished(&self) -> bool {
        self.prompt.is_some() && self.search.is_finished()
    }

    /// Gives back all sequence slots but the window's own, whatever state it is in.
    pub fn release(&mut self, window: usize, pool: &mut SequencePool) {
        self.search.release(window, pool);
    }

    pub fn finish(self) -> FinishedAttempt {
        FinishedAttempt {
            request: self.request,
            hypotheses: self.search.finish(),
            no_speech_prob: self.prompt.map_or(f32::NAN, |prompt| prompt.no_speech_prob),
        }
    }
}
