//! Beam search for one window as in openai/whisper: several beams side by side, of whose continuations every step
//! keeps the best.

use std::sync::Arc;

use super::ranking::Hypothesis;
use super::rules::LogitRules;
use super::sequence::{SequenceState, SequenceStatus, TokenLimits};

/// How wide and how long to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeamWidth {
    /// Beams that run side by side.
    pub beams: usize,
    /// The search ends when this many hypotheses are finished.
    pub enough: usize,
}

#[derive(Debug)]
pub struct Beam {
    rules: Arc<LogitRules>,
    limits: TokenLimits,
    width: BeamWidth,
    sample_begin: usize,
    /// The best first. Before the first step only one, the initial tokens.
    live: Vec<LiveBeam>,
    finished: Vec<Hypothesis>,
}

#[derive(Debug)]
struct LiveBeam {
    /// The initial tokens and what follows them.
    tokens: Vec<u32>,
    sum_logprob: f32,
    /// Index of the beam before the last step that it continues.
    parent: usize,
}

/// A beam with one more token.
struct Continuation {
    parent: usize,
    token: u32,
    sum_logprob: f32,
}

impl Beam {
    /// Creates a search from the initial tokens and the index at which the text begins among them.
    pub fn new(
        rules: Arc<LogitRules>,
        limits: TokenLimits,
        width: BeamWidth,
        (initial_tokens, sample_begin): (&[u32], usize),
    ) -> Self {
        let root = LiveBeam { tokens: initial_tokens.to_vec(), sum_logprob: 0.0, parent: 0 };
        Beam { rules, limits, width, sample_begin, live: vec![root], finished: Vec::new() }
    }

    /// Returns the most beams that run at a time.
    pub fn width(&self) -> usize {
        self.width.beams
    }

    /// Advances by the logits after each beam, some of which it overwrites.
    pub fn advance(&mut self, logits: &mut [f32]) -> SequenceStatus {
        let n_vocab = logits.len() / self.live.len().max(1);
        let rows = self.live.iter().zip(logits.chunks_exact_mut(n_vocab.max(1)));
        let rank = |(live, row): (&LiveBeam, &mut [f32])| {
            self.rules.rank(row, &live.tokens[self.sample_begin..], self.rank_count())
        };
        let ranked: Vec<_> = rows.map(rank).collect();
        self.advance_by(&ranked)
    }

    /// Returns how many of the likeliest tokens after a beam are considered: one more than there are beams, as one of them
    /// may be the end of text.
    pub fn rank_count(&self) -> usize {
        self.width.beams + 1
    }

    /// Advances by the likeliest tokens after each beam.
    pub fn advance_by(&mut self, ranked: &[Vec<(u32, f32)>]) -> SequenceStatus {
        if ranked.len() != self.live.len() || ranked.iter().any(Vec::is_empty) {
            return SequenceStatus::Broken;
        }
        let mut nexts = Vec::with_capacity(self.live.len() * self.rank_count());
        for (parent, (live, ranked)) in self.live.iter().zip(ranked).enumerate() {
            nexts.extend(ranked.iter().map(|&(token, log_prob)| Continuation {
                parent,
                token,
                sum_logprob: live.sum_logprob + log_prob,
            }));
        }
        // A stable sort: of equals the first stays first.
        nexts.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
        let mut live: Vec<LiveBeam> = Vec::with_capacity(self.width.beams);
        for Continuation { parent, token, sum_logprob } in nexts {
            if live.len() == self.width.beams {
                break;
            }
            let before = &self.live[parent].tokens;
            if token != self.rules.eot() {
                let tokens = before.iter().copied().chain([token]).collect();
                live.push(LiveBeam { tokens, sum_logprob, parent });
            } else if self.finished.len() < self.width.enough {
                self.finished.push(Hypothesis { tokens: before[self.sample_begin..].to_vec(), sum_logprob });
            }
        }
        self.live = live;
        let is_full = self.live.first().is_none_or(|live| {
            live.tokens.len() - self.sample_begin >= self.limits.sample_len
                || live.tokens.len() > self.limits.n_text_ctx
        });
        match is_full || self.finished.len() >= self.width.enough {
            true => SequenceStatus::Finished,
            false => SequenceStatus::Running,
        }
    }

    /// Returns what ranking on the device needs of each beam; none if the rules depend on more than the last tokens.
    pub fn states(&self) -> Option<impl Iterator<Item = SequenceState<'_>>> {
        self.rules.table()?;
        Some(self.live.iter().map(|live| SequenceState {
            rules: &self.rules,
            sampled: &live.tokens[self.sample_begin..],
            temperature: 0.0,
            left: 1,
            draws: Vec::new(),
        }))
    }

    /// Returns for each beam the position of its last token, the token itself, which is fed next, and the index of the
    /// beam before the last step that it continues.
    pub fn last(&self) -> impl Iterator<Item = (usize, &[u32], usize)> {
        self.live.iter().map(|live| {
            let position = live.tokens.len() - 1;
            (position, &live.tokens[position..], live.parent)
        })
    }

    /// Returns all tokens of beam `index`.
    pub fn tokens(&self, index: usize) -> &[u32] {
        &self.live[index].tokens
    }

    /// Returns the finished hypotheses; if they are fewer than the beams, also the best live beams.
    pub fn finish(self) -> Vec<Hypothesis> {
        let Beam { mut finished, mut live, width, sample_begin, .. } = self;
        live.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
        let missing = width.beams.saturating_sub(finished.len());
        finished.extend(live.into_iter().take(missing).map(|live| Hypothesis {
            tokens: live.tokens[sample_begin..].to_vec(),
            sum_logprob: live.sum_logprob,
        }));
        finished
    }
}
