//! One running sequence of one window: takes logits, says when it is done. Knows no network.

use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::ranking::Hypothesis;
use super::rules::LogitRules;
use super::sampling::SampleSeed;

/// What a sequence needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceStatus {
    /// The logits that follow its last token.
    Running,
    /// Nothing more.
    Finished,
    /// Nothing more: the logits were not numbers, or left no token to choose.
    Broken,
}

/// How far a sequence may go.
#[derive(Debug, Clone, Copy)]
pub struct TokenLimits {
    /// New tokens at most.
    pub sample_len: usize,
    /// Tokens that the network can see at once.
    pub n_text_ctx: usize,
}

/// How far a sequence is, for those who choose its next tokens.
#[derive(Debug, Clone)]
pub struct SequenceState<'a> {
    pub rules: &'a Arc<LogitRules>,
    /// The tokens of its window.
    pub sampled: &'a [u32],
    pub temperature: f32,
    /// How many more there may be.
    pub left: usize,
    /// A number of [0, 1) for each step, where the temperature is above 0.
    pub draws: Vec<f64>,
}

/// Tokens of one window as they come.
#[derive(Debug, Clone)]
pub struct Sequence {
    rules: Arc<LogitRules>,
    limits: TokenLimits,
    /// The initial tokens and what was sampled after them, without the end of text.
    tokens: Vec<u32>,
    sample_begin: usize,
    sum_logprob: f32,
    temperature: f32,
    rng: ChaCha8Rng,
}

impl Sequence {
    /// The tokens that it begins with, and where among them the text does: what is known of it counts as chosen,
    /// with certainty.
    pub fn new(
        rules: Arc<LogitRules>,
        limits: TokenLimits,
        (initial_tokens, sample_begin): (&[u32], usize),
        temperature: f64,
        seed: SampleSeed,
    ) -> Self {
        let mut tokens = Vec::with_capacity(initial_tokens.len() + limits.sample_len.min(limits.n_text_ctx));
        tokens.extend_from_slice(initial_tokens);
        Sequence {
            rules,
            limits,
            sample_begin,
            tokens,
            sum_logprob: 0.0,
            temperature: temperature as f32,
            rng: seed.rng(),
        }
    }

    /// Takes the logits that follow the last token (and overwrites some), and chooses the next one.
    pub fn advance(&mut self, logits: &mut [f32]) -> SequenceStatus {
        let drawn = if self.temperature == 0.0 { 0.0 } else { self.rng.random() };
        let sampled = &self.tokens[self.sample_begin..];
        let (token, log_prob) = self.rules.choose(logits, sampled, self.temperature, drawn);
        self.push(token, log_prob)
    }

    /// What is to be known to go on elsewhere for so many steps; none if the rules must see all that was said.
    pub fn state(&self, steps: usize) -> Option<SequenceState<'_>> {
        self.rules.table()?;
        let more = self.limits.sample_len.saturating_sub(self.sampled().len());
        let left = more.min((self.limits.n_text_ctx + 1).saturating_sub(self.tokens.len()));
        let draws = match self.temperature {
            0.0 => Vec::new(),
            // The sequence itself has not drawn them yet.
            _ => self.rng.clone().random_iter().take(steps).collect(),
        };
        let (rules, temperature) = (&self.rules, self.temperature);
        Some(SequenceState { rules, sampled: self.sampled(), temperature, left, draws })
    }

    /// Takes what was chosen elsewhere.
    pub fn take(&mut self, token: u32, log_prob: f32) -> SequenceStatus {
        if self.temperature != 0.0 {
            self.rng.random::<f64>();
        }
        self.push(token, log_prob)
    }

    fn push(&mut self, token: u32, log_prob: f32) -> SequenceStatus {
        if log_prob.is_nan() {
            return SequenceStatus::Broken;
        }
        self.sum_logprob += log_prob;
        if token == self.rules.eot {
            return SequenceStatus::Finished;
        }
        self.tokens.push(token);
        let full =
            self.sampled().len() >= self.limits.sample_len || self.tokens.len() > self.limits.n_text_ctx;
        if full { SequenceStatus::Finished } else { SequenceStatus::Running }
    }

    /// The token to feed next, and where it stands in the text.
    pub fn last(&self) -> (usize, &[u32]) {
        let position = self.tokens.len() - 1;
        (position, &self.tokens[position..])
    }

    pub fn finish(self) -> Hypothesis {
        Hypothesis { tokens: self.tokens[self.sample_begin..].to_vec(), sum_logprob: self.sum_logprob }
    }

    /// What was chosen so far, without the end of text.
    fn sampled(&self) -> &[u32] {
        &self.tokens[self.sample_begin..]
    }
}
