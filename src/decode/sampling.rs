//! Choosing the next token, and the best of several samples.
//!
//! Random numbers depend on the seed, the window, the attempt and the candidate alone, so that a result is the
//! same whatever else is decoded beside it.

use std::ops::Range;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The largest logit of a range, and the first token that has it.
#[derive(Debug, Clone)]
pub struct Peak {
    pub range: Range<usize>,
    pub max: f32,
    pub token: u32,
}

impl Peak {
    pub fn of(logits: &[f32], range: Range<usize>) -> Self {
        let row = &logits[range.clone()];
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let place = row.iter().position(|&logit| logit == max).unwrap_or(0);
        Peak { token: (range.start + place) as u32, range, max }
    }
}

/// What may be chosen: up to two ranges of tokens, the likeliest, and the sum of all probabilities.
#[derive(Debug, Clone)]
pub struct Distribution {
    ranges: [Range<usize>; 2],
    likeliest: u32,
    max: f32,
    /// Sum of `exp(logit - max)`.
    sum: f64,
}

impl Distribution {
    pub fn of(logits: &[f32], peak: Peak) -> Self {
        let sum = sum_exp(&logits[peak.range.clone()], peak.max);
        Distribution { likeliest: peak.token, max: peak.max, sum, ranges: [peak.range, 0..0] }
    }

    /// Puts a range of higher tokens behind this one.
    pub fn joined_by(self, other: Distribution) -> Self {
        let (first, second) = (self.ranges[0].clone(), other.ranges[0].clone());
        let max = self.max.max(other.max);
        let scaled =
            |d: &Distribution| if d.sum == 0.0 { 0.0 } else { d.sum * f64::from((d.max - max).exp()) };
        Distribution {
            sum: scaled(&self) + scaled(&other),
            likeliest: if other.max > self.max { other.likeliest } else { self.likeliest },
            max,
            ranges: [first, second],
        }
    }

    /// The logarithm of the sum of all `exp(logit)`.
    pub fn log_sum(&self) -> f32 {
        self.max + self.sum.ln() as f32
    }

    pub fn likeliest(&self) -> u32 {
        self.likeliest
    }

    /// The log-probability of a token; NaN if nothing may be chosen or the logits are not numbers.
    pub fn log_prob(&self, logits: &[f32], token: u32) -> f32 {
        let Some(&logit) = logits.get(token as usize) else { return f32::NAN };
        logit - self.max - self.sum.ln() as f32
    }

    /// Draws a token at a temperature above 0.
    pub fn sample(&self, logits: &[f32], temperature: f32, rng: &mut ChaCha8Rng) -> u32 {
        let tokens = || self.ranges.iter().flat_map(|range| range.clone());
        let weight = |token: usize| f64::from(((logits[token] - self.max) / temperature).exp());
        let total: f64 = tokens().map(weight).sum();
        let wanted = rng.random::<f64>() * total;
        let mut passed = 0.0;
        for token in tokens() {
            passed += weight(token);
            if passed > wanted {
                return token as u32;
            }
        }
        self.likeliest
    }
}

/// Sum of `exp(logit - max)`; NaN among the logits is carried on, so that it is seen.
fn sum_exp(logits: &[f32], max: f32) -> f64 {
    if max == f32::NEG_INFINITY && !logits.iter().any(|logit| logit.is_nan()) {
        return 0.0;
    }
    logits.iter().map(|&logit| f64::from((logit - max).exp())).sum()
}

/// The probability of one token over a whole row.
pub fn probability(logits: &[f32], token: u32) -> f32 {
    let row = Distribution::of(logits, Peak::of(logits, 0..logits.len()));
    row.log_prob(logits, token).exp()
}

/// Where the random numbers of one sampled sequence come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSeed {
    pub seed: u64,
    pub seek: u64,
    /// Which temperature of the list.
    pub attempt: u32,
    pub candidate: u32,
}

impl SampleSeed {
    pub fn rng(self) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.seek.to_le_bytes());
        key[16..20].copy_from_slice(&self.attempt.to_le_bytes());
        key[20..24].copy_from_slice(&self.candidate.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }
}

/// The index of the sample with the highest log-probability per token; the first of equals.
pub fn best_of(candidates: &[(f32, usize)]) -> usize {
    let score = |(sum, len): (f32, usize)| f64::from(sum) / len.max(1) as f64;
    let mut best = 0;
    for (index, candidate) in candidates.iter().enumerate() {
        if score(*candidate) > score(candidates[best]) {
            best = index;
        }
    }
    best
}
