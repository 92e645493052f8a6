//! Which tokens may come next: openai/whisper's logit filters for one row of logits.
//!
//! Choosing among the tokens that remain is left to `sampling`.

use super::options::{DecodeOptions, SuppressTokens};
use super::sampling::{Distribution, Peak};
use super::tokenizer::Tokenizer;
use crate::time::SECONDS_PER_TICK;

const FORBIDDEN: f32 = f32::NEG_INFINITY;

/// The filters of one set of options; the same for all windows and sequences.
#[derive(Debug)]
pub struct LogitRules {
    /// Never chosen, ascending.
    suppressed: Vec<u32>,
    /// Not chosen as the first token.
    blank: Vec<u32>,
    timestamps: Option<TimestampRules>,
    repetitions: Repetitions,
    pub(super) eot: u32,
    /// Outputs of the network beyond the last timestamp mean nothing.
    end: usize,
}

/// Rules that look at nothing but the last tokens, for those who choose where the logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleTable<'a> {
    pub never: &'a [u32],
    pub not_first: &'a [u32],
    pub eot: u32,
    /// The first timestamp.
    pub begin: usize,
    /// None if the rules of timestamps do not hold.
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
            repetitions: Repetitions {
                penalty: options.repetition_penalty as f32,
                ngram: options.no_repeat_ngram_size,
            },
            eot: special.eot,
            end: special.timestamps.end as usize,
        }
    }

    /// The likeliest tokens with their log-probabilities, the likeliest first and of equals the lowest; none if the logits
    /// are not numbers or leave nothing to choose. Overwrites some of them.
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

    /// The next token and its log-probability, NaN if there is none to choose. A number drawn from [0, 1) decides where
    /// the temperature is above 0. Overwrites some of the logits.
    pub fn choose(&self, logits: &mut [f32], sampled: &[u32], temperature: f32, drawn: f64) -> (u32, f32) {
        let distribution = self.apply(logits, sampled);
        let token = match temperature {
            0.0 => distribution.likeliest(),
            _ => distribution.sample(logits, temperature, drawn),
        };
        (token, distribution.log_prob(logits, token))
    }

    /// The rules as a table, if they look at nothing but the last tokens.
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

    /// Filters the logits that follow the tokens `sampled` so far in this window, in place, and returns the
    /// distribution over what is left.
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

/// What makes a window less likely to say the same again, as CTranslate2 does it.
#[derive(Debug)]
struct Repetitions {
    /// 1 for none.
    penalty: f32,
    /// Tokens of a run that must not come again; 0 for none.
    ngram: usize,
}

impl Repetitions {
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
            let begun = &sampled[sampled.len() + 1 - self.ngram..];
            let again = sampled.windows(self.ngram).filter(|run| run.starts_with(begun));
            forbid(logits, &again.map(|run| run[self.ngram - 1]).collect::<Vec<_>>());
        }
    }
}

impl TimestampRules {
    fn apply(&self, logits: &mut [f32], sampled: &[u32], end: usize) -> Distribution {
        logits[self.no_timestamps] = FORBIDDEN;
        // What may follow: text from `text_from` on and timestamps below `stamps_to`.
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
            // Time goes on, and only a closing timestamp may come again, to open the next segment.
            stamps_from = (*last as usize + usize::from(!pair_is_open)).min(end);
        }
        if sampled.is_empty() {
            text_from = self.begin;
            stamps_to = self.last_initial.map_or(end, |last| end.min(last + 1));
        }
        let stamps = Peak::of(logits, stamps_from.min(stamps_to)..stamps_to);
        let text = Peak::of(logits, text_from..self.begin);
        let stamps_distribution = Distribution::of(logits, stamps);
        // All timestamps together are likelier than any single word: then it is time for one.
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
