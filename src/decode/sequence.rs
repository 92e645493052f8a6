//! One sequence of one window: takes logits, chooses tokens, and reports when it is done.

use std::sync::Arc;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::ranking::Hypothesis;
use super::rules::LogitRules;
use super::sampling::SampleSeed;

/// Whether a sequence continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceStatus {
    /// It needs the logits after its last token.
    Running,
    Finished,
    /// The logits were not numbers, or left no token to choose.
    Broken,
}

/// How long a sequence may become.
#[derive(Debug, Clone, Copy)]
pub struct TokenLimits {
    /// The most new tokens.
    pub sample_len: usize,
    /// Tokens in the network's text context.
    pub n_text_ctx: usize,
}

/// What device sampling needs to know of a sequence.
#[derive(Debug, Clone)]
pub struct SequenceState<'a> {
    pub rules: &'a Arc<LogitRules>,
    /// The tokens chosen so far in its window.
    pub sampled: &'a [u32],
    pub temperature: f32,
    /// How many more tokens there may be.
    pub left: usize,
    /// A number of [0, 1) for each step, where the temperature is above 0.
    pub draws: Vec<f64>,
}

/// The tokens of one window, as far as they are chosen.
#[derive(Debug, Clone)]
pub struct Sequence {
    rules: Arc<LogitRules>,
    limits: TokenLimits,
    /// The initial tokens and those chosen after them, without the end of text.
    tokens: Vec<u32>,
    sample_begin: usize,
    sum_logprob: f32,
    temperature: f32,
    rng: ChaCha8Rng,
}

impl Sequence {
    /// Creates a sequence from its initial tokens and the index at which the text begins among them: a given prefix of
    /// the text counts as chosen with certainty.
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

    /// Chooses the next token from the logits after the last one, some of which it overwrites.
    pub fn advance(&mut self, logits: &mut [f32]) -> SequenceStatus {
        let drawn = if self.temperature == 0.0 { 0.0 } else { self.rng.random() };
        let sampled = &self.tokens[self.sample_begin..];
        let (token, log_prob) = self.rules.choose(logits, sampled, self.temperature, drawn);
        self.push(token, log_prob)
    }

    /// Returns what device sampling of this many steps needs; none if the rules depend on more than the last tokens.
    pub fn state(&self, steps: usize) -> Option<SequenceState<'_>> {
        self.rules.table()?;
        let more = self.limits.sample_len.saturating_sub(self.sampled().len());
        let left = more.min((self.limits.n_text_ctx + 1).saturating_sub(self.tokens.len()));
        let draws = match self.temperature {
            0.0 => Vec::new(),
            // The sequence itself draws the same numbers later, in `take`.
            _ => self.rng.clone().random_iter().take(steps).collect(),
        };
        let (rules, temperature) = (&self.rules, self.temperature);
        Some(SequenceState { rules, sampled: self.sampled(), temperature, left, draws })
    }

    /// Takes a token that the device chose.
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
        if token == self.rules.eot() {
            return SequenceStatus::Finished;
        }
        self.tokens.push(token);
        let full =
            self.sampled().len() >= self.limits.sample_len || self.tokens.len() > self.limits.n_text_ctx;
        if full { SequenceStatus::Finished } else { SequenceStatus::Running }
    }

    /// Returns the position of the last token, and the token itself, which is fed next.
    pub fn last(&self) -> (usize, &[u32]) {
        let position = self.tokens.len() - 1;
        (position, &self.tokens[position..])
    }

    pub fn finish(self) -> Hypothesis {
        Hypothesis { tokens: self.tokens[self.sample_begin..].to_vec(), sum_logprob: self.sum_logprob }
    }

    /// Returns the tokens chosen so far, without the end of text.
    fn sampled(&self) -> &[u32] {
        &self.tokens[self.sample_begin..]
    }
}
