//! Beam search for one window, as openai/whisper searches: the likeliest beginnings side by side, every step going
//! on with the best of all their continuations. Knows no network.

use std::sync::Arc;

use super::ranking::Hypothesis;
use super::rules::LogitRules;
use super::sequence::{SequenceState, SequenceStatus, TokenLimits};

/// How wide and how long to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeamWidth {
    /// Beginnings that are followed side by side.
    pub beams: usize,
    /// The search ends when so many are finished.
    pub enough: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Beam {
    rules: Arc<LogitRules>,
    limits: TokenLimits,
    width: BeamWidth,
    sample_begin: usize,
    /// The best first. One, the initial tokens alone, before the first step.
    live: Vec<Live>,
    finished: Vec<Hypothesis>,
}

#[derive(Debug)]
struct Live {
    /// The initial tokens and what follows them.
    tokens: Vec<u32>,
    sum_logprob: f32,
    /// Which of the beginnings before the last step it goes on from.
    parent: usize,
}

/// One token more after one of the beginnings.
struct Next {
    parent: usize,
    token: u32,
    sum_logprob: f32,
}

impl Beam {
    /// The tokens that it begins with, and where among them the text does.
    pub fn new(
        rules: Arc<LogitRules>,
        limits: TokenLimits,
        width: BeamWidth,
        begun: (&[u32], usize),
    ) -> Self {
        let (initial_tokens, sample_begin) = begun;
        let root = Live { tokens: initial_tokens.to_vec(), sum_logprob: 0.0, parent: 0 };
        Beam { rules, limits, width, sample_begin, live: vec![root], finished: Vec::new() }
    }

    /// Beginnings that are followed at most.
    pub fn width(&self) -> usize {
        self.width.beams
    }

    /// Takes a row of the logits that follow each beginning (and overwrites some), and goes on with the best.
    pub fn advance(&mut self, logits: &mut [f32]) -> SequenceStatus {
        let n_vocab = logits.len() / self.live.len().max(1);
        let rows = self.live.iter().zip(logits.chunks_exact_mut(n_vocab.max(1)));
        let rank = |(live, row): (&Live, &mut [f32])| {
            self.rules.rank(row, &live.tokens[self.sample_begin..], self.rank_count())
        };
        let ranked: Vec<_> = rows.map(rank).collect();
        self.advance_by(&ranked)
    }

    /// How many of the likeliest tokens after a beginning are looked at: one more than there are beams, as one of them
    /// may be the end.
    pub fn rank_count(&self) -> usize {
        self.width.beams + 1
    }

    /// Takes the likeliest tokens after each beginning, and goes on with the best.
    pub fn advance_by(&mut self, ranked: &[Vec<(u32, f32)>]) -> SequenceStatus {
        if ranked.len() != self.live.len() || ranked.iter().any(Vec::is_empty) {
            return SequenceStatus::Broken;
        }
        let mut nexts = Vec::with_capacity(self.live.len() * self.rank_count());
        for (parent, (live, ranked)) in self.live.iter().zip(ranked).enumerate() {
            nexts.extend(ranked.iter().map(|&(token, log_prob)| Next {
                parent,
                token,
                sum_logprob: live.sum_logprob + log_prob,
            }));
        }
        // Of equals the first stays first.
        nexts.sort_by(|a, b| b.sum_logprob.total_cmp(&a.sum_logprob));
        let mut live: Vec<Live> = Vec::with_capacity(self.width.beams);
        for Next { parent, token, sum_logprob } in nexts {
            if live.len() == self.width.beams {
                break;
            }
            let before = &self.live[parent].tokens;
            if token != self.rules.eot {
                let tokens = before.iter().copied().chain([token]).collect();
                live.push(Live { tokens, sum_logprob, parent });
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

    /// How each beginning stands, for who ranks what may follow; none if the rules must see all that was said.
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

    /// The token to feed next to each beginning, where it stands in the text, and which of the beginnings before
    /// the last step it goes on from.
    pub fn last(&self) -> impl Iterator<Item = (usize, &[u32], usize)> {
        self.live.iter().map(|live| {
            let position = live.tokens.len() - 1;
            (position, &live.tokens[position..], live.parent)
        })
    }

    /// Everything that beginning `index` consists of.
    pub fn tokens(&self, index: usize) -> &[u32] {
        &self.live[index].tokens
    }

    /// What is finished; if that is too little to choose from, the best of the rest too.
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
