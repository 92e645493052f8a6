//! openai/whisper's logit filters: which tokens may come next in one row of logits.
//!
//! Choosing among the remaining tokens is left to `sampling`.

use super::options::{DecodeOptions, SuppressTokens};
use super::sampling::{Distribution, Peak};
use super::tokenizer::Tokenizer;
use crate::time::SECONDS_PER_TICK;

const FORBIDDEN: f32 = f32::NEG_INFINITY;

/// The logit filters of one set of options; the same for all windows and sequences.
#[derive(Debug)]
pub struct LogitRules {
    /// Never chosen, ascending.
    suppressed: Vec<u32>,
    /// Never chosen as the first token.
    blank: Vec<u32>,
    timestamps: Option<TimestampRules>,
    repetitions: RepetitionRules,
    eot: u32,
    /// One past the last timestamp: outputs of the network from there on have no meaning.
    end: usize,
}

/// Rules that depend on the last tokens alone, for device sampling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTable<'a> {
    pub never: &'a [u32],
    pub not_first: &'a [u32],
    pub eot: u32,
    /// The first timestamp.
    pub begin: usize,
    /// None without the timestamp rules.
    pub no_timestamps: Option<usize>,
    /// The last timestamp that may open a window.
    pub last_initial: Option<usize>,
    pub end: usize,
}

#[derive(Debug)]
struct TimestampRules {
    eot: usize,
    begin: usize,
    no_timestamps: usize,
    /// The last timestamp that may open a window.
    last_initial: Option<usize>,
}

impl LogitRules {
    pub fn new(tokenizer: &Tokenizer, options: &DecodeOptions) -> Self {
        let special = tokenizer.special();
        let timestamps = (!options.without_timestamps).then(|| {
            let begin = special.timestamps.start as usize;
            let ticks = |seconds: f64| (seconds / SECONDS_PER_TICK).round_ties_even() as usize;
            TimestampRules {
                eot: special.eot as usize,
                begin,
                no_timestamps: special.no_timestamps as usize,
                last_initial: options.max_initial_timestamp.map(|seconds| begin + ticks(seconds)),
            }
        });
        let mut blank = Vec::new();
        if options.suppress_blank {
            blank = tokenizer.encode(" ");
            blank.push(special.eot);
        }
        LogitRules {
            suppressed: suppressed(tokenizer, &options.suppress_tokens),
            blank,
            timestamps,
            repetitions: RepetitionRules {
                penalty: options.repetition_penalty as f32,
                ngram: options.no_repeat_ngram_size,
            },
            eot: special.eot,
            end: special.timestamps.end as usize,
        }
    }

    /// Returns the likeliest tokens with their log-probabilities, the likeliest first and of equals the lowest; none if the
    /// logits are not numbers or leave no token to choose. Overwrites some of the logits.
    pub fn rank(&self, logits: &mut [f32], sampled: &[u32], count: usize) -> Vec<(u32, f32)> {
        let distribution = self.apply(logits, sampled);
        match distribution.log_prob(logits, distribution.likeliest()).is_nan() {
            true => Vec::new(),
            false => distribution.top(logits, count),
        }
    }

    pub fn eot(&self) -> u32 {
        self.eot
    }

    /// Chooses the next token; returns it with its log-probability, which is NaN if there is no token to choose. At a
    /// temperature above 0 the number `drawn` from [0, 1) decides. Overwrites some of the logits.
    pub fn choose(&self, logits: &mut [f32], sampled: &[u32], temperature: f32, drawn: f64) -> (u32, f32) {
        let distribution = self.apply(logits, sampled);
        let token = match temperature {
            0.0 => distribution.likeliest(),
            _ => distribution.sample(logits, temperature, drawn),
        };
        (token, distribution.log_prob(logits, token))
    }

    /// Returns the rules as a table, if they depend on the last tokens alone.
    pub fn table(&self) -> Option<RuleTable<'_>> {
        if self.repetitions.penalty != 1.0 || self.repetitions.ngram > 0 {
            return None;
        }
        let stamps = self.timestamps.as_ref();
        Some(RuleTable {
            never: &self.suppressed,
            not_first: &self.blank,
            eot: self.eot,
            begin: stamps.map_or(self.end, |stamps| stamps.begin),
            no_timestamps: stamps.map(|stamps| stamps.no_timestamps),
            last_initial: stamps.and_then(|stamps| stamps.last_initial),
            end: self.end,
        })
    }

    /// Filters in place the logits that follow the tokens `sampled` so far in this window, and returns the distribution
    /// over the remaining tokens.
    pub fn apply(&self, logits: &mut [f32], sampled: &[u32]) -> Distribution {
        let end = self.end.min(logits.len());
        let first = sampled.is_empty();
        self.repetitions.apply(logits, sampled);
        forbid(logits, &self.suppressed);
        if first {
            forbid(logits, &self.blank);
        }
        match &self.timestamps {
            None => Distribution::of(logits, Peak::of(logits, 0..end)),
            Some(rules) => rules.apply(logits, sampled, end),
        }
    }
}

/// Makes repetitions within a window less likely, as CTranslate2 does.
#[derive(Debug)]
struct RepetitionRules {
    /// 1 for none.
    penalty: f32,
    /// Length of the token runs that must not recur; 0 for none.
    ngram: usize,
}

impl RepetitionRules {
    fn apply(&self, logits: &mut [f32], sampled: &[u32]) {
        if self.penalty != 1.0 {
            for (index, &token) in sampled.iter().enumerate() {
                let Some(logit) = logits.get_mut(token as usize) else { continue };
                if !sampled[..index].contains(&token) {
                    *logit = if *logit < 0.0 { *logit * self.penalty } else { *logit / self.penalty };
                }
            }
        }
        if self.ngram > 0 && sampled.len() >= self.ngram {
            let start = &sampled[sampled.len() + 1 - self.ngram..];
            let again = sampled.windows(self.ngram).filter(|run| run.starts_with(start));
            forbid(logits, &again.map(|run| run[self.ngram - 1]).collect::<Vec<_>>());
        }
    }
}

impl TimestampRules {
    fn apply(&self, logits: &mut [f32], sampled: &[u32], end: usize) -> Distribution {
        logits[self.no_timestamps] = FORBIDDEN;
        // Allowed are text from `text_from` on, and timestamps from `stamps_from` to `stamps_to`.
        let (mut text_from, mut stamps_from, mut stamps_to) = (0, self.begin, end);
        let is_stamp = |token: &u32| *token as usize >= self.begin;
        let last_is_stamp = sampled.last().is_some_and(is_stamp);
        let pair_is_open = last_is_stamp && sampled.len() >= 2 && !is_stamp(&sampled[sampled.len() - 2]);
        if pair_is_open {
            // A segment was closed: the next one opens, or the window ends.
            text_from = self.eot;
        } else if last_is_stamp {
            stamps_to = self.begin;
        }
        if let Some(last) = sampled.iter().rfind(|token| is_stamp(token)) {
            // Timestamps increase; only a closing one may be repeated, to open the next segment.
            stamps_from = (*last as usize + usize::from(!pair_is_open)).min(end);
        }
        if sampled.is_empty() {
            text_from = self.begin;
            stamps_to = self.last_initial.map_or(end, |last| end.min(last + 1));
        }
        let stamps = Peak::of(logits, stamps_from.min(stamps_to)..stamps_to);
        let text = Peak::of(logits, text_from..self.begin);
        let stamps_distribution = Distribution::of(logits, stamps);
        // All timestamps together are likelier than any text token: only timestamps are allowed.
        if stamps_distribution.log_sum() > text.max {
            return stamps_distribution;
        }
        Distribution::of(logits, text).joined_by(stamps_distribution)
    }
}

fn forbid(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = FORBIDDEN;
        }
    }
}

fn suppressed(tokenizer: &Tokenizer, which: &SuppressTokens) -> Vec<u32> {
    let SuppressTokens::List { non_speech, ids } = which else { return Vec::new() };
    let special = tokenizer.special();
    let mut tokens = ids.clone();
    if *non_speech {
        tokens.extend(tokenizer.non_speech_tokens());
    }
    tokens.extend([
        special.transcribe,
        special.translate,
        special.sot,
        special.sot_prev,
        special.sot_lm,
        special.no_speech,
    ]);
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}
