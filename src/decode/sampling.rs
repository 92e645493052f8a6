//! Chooses the next token.
//!
//! Random numbers depend on the seed, the window, the attempt and the candidate alone, so that a result is the same
//! whatever else is decoded at the same time.

use std::ops::Range;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The largest logit of a range, and the first token with it.
#[derive(Debug, Clone)]
pub struct Peak {
    pub range: Range<usize>,
    pub max: f32,
    pub token: u32,
}

impl Peak {
    pub fn of(logits: &[f32], range: Range<usize>) -> Self {
        let row = &logits[range.clone()];
        let max = max(row);
        let place = row.iter().position(|&logit| logit == max).unwrap_or(0);
        Peak { token: (range.start + place) as u32, range, max }
    }
}

/// A distribution over up to two ranges of tokens.
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
        let sum = sum_exp(&logits[peak.range.clone()], peak.max, 1.0);
        Distribution { likeliest: peak.token, max: peak.max, sum, ranges: [peak.range, 0..0] }
    }

    /// Adds a range of higher tokens.
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

    /// Returns the logarithm of the sum of all `exp(logit)`.
    pub fn log_sum(&self) -> f32 {
        self.max + self.sum.ln() as f32
    }

    pub fn likeliest(&self) -> u32 {
        self.likeliest
    }

    /// Returns the log-probability of a token; NaN if no token may be chosen or the logits are not numbers.
    pub fn log_prob(&self, logits: &[f32], token: u32) -> f32 {
        let Some(&logit) = logits.get(token as usize) else { return f32::NAN };
        logit - self.max - self.sum.ln() as f32
    }

    /// Returns the `count` likeliest tokens with their log-probabilities, the likeliest first and of equals the lowest;
    /// fewer if no more may be chosen.
    pub fn top(&self, logits: &[f32], count: usize) -> Vec<(u32, f32)> {
        let mut top: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        let mut least = f32::NEG_INFINITY;
        for block in self.ranges.iter().flat_map(|range| blocks(range.clone())) {
            // Few blocks hold one of them.
            if max(&logits[block.clone()]) <= least {
                continue;
            }
            for token in block {
                let logit = logits[token];
                if logit > least {
                    let place = top.partition_point(|(_, other)| *other >= logit);
                    top.insert(place, (token as u32, logit));
                    top.truncate(count);
                    least = if top.len() == count { top[count - 1].1 } else { least };
                }
            }
        }
        top.iter_mut().for_each(|(token, logit)| *logit = self.log_prob(logits, *token));
        top
    }

    /// Returns the token that a number drawn from [0, 1) selects at a temperature above 0.
    pub fn sample(&self, logits: &[f32], temperature: f32, drawn: f64) -> u32 {
        let scale = temperature.recip();
        let blocks = || self.ranges.iter().flat_map(|range| blocks(range.clone()));
        let weight = |block: Range<usize>| sum_exp(&logits[block], self.max, scale);
        let total: f64 = blocks().map(weight).sum();
        let wanted = drawn * total;
        let mut passed = 0.0;
        for block in blocks() {
            let of_block = weight(block.clone());
            if passed + of_block <= wanted {
                passed += of_block;
                continue;
            }
            for token in block {
                passed += f64::from(exp((logits[token] - self.max) * scale));
                if passed > wanted {
                    return token as u32;
                }
            }
        }
        self.likeliest
    }
}

/// Numbers processed side by side, so that the compiler vectorises the loop.
const LANES: usize = 16;
/// Numbers summed in single precision; the blocks are summed in double.
const BLOCK: usize = 64 * LANES;

fn blocks(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(BLOCK).map(move |start| start..end.min(start + BLOCK))
}

/// Returns the largest number, ignoring NaN.
fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (groups, rest) = row.as_chunks::<LANES>();
    for group in groups {
        for (lane, &value) in lanes.iter_mut().zip(group) {
            *lane = larger(*lane, value);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Returns the sum of `exp((logit - max) * scale)`. A NaN among the logits propagates.
fn sum_exp(logits: &[f32], max: f32, scale: f32) -> f64 {
    if max == f32::NEG_INFINITY && !logits.iter().any(|logit| logit.is_nan()) {
        return 0.0;
    }
    let sum_block = |block: &[f32]| {
        let mut lanes = [0.0; LANES];
        let (groups, rest) = block.as_chunks::<LANES>();
        for group in groups {
            for (lane, logit) in lanes.iter_mut().zip(group) {
                *lane += exp((logit - max) * scale);
            }
        }
        lanes.iter().sum::<f32>() + rest.iter().map(|logit| exp((logit - max) * scale)).sum::<f32>()
    };
    logits.chunks(BLOCK).map(|block| f64::from(sum_block(block))).sum()
}

/// Returns `e` to the power of a number of at most 0, in operations that vectorise: the system's function is one call per
/// number, and every step has as many numbers as the vocabulary has tokens. Accurate to 2 units in the last place;
/// below -87, where single precision ends, it stays at 1e-38.
fn exp(x: f32) -> f32 {
    // Adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = x - power * LN_2_HIGH - power * LN_2_LOW;
    // The series of e^rest; the omitted terms are below 1e-8.
    let mut series = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series * rest + coefficient;
    }
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    series * f32::from_bits(exponent << 23)
}

/// Returns the probability of one token over a whole row.
pub fn probability(logits: &[f32], token: u32) -> f32 {
    let row = Distribution::of(logits, Peak::of(logits, 0..logits.len()));
    row.log_prob(logits, token).exp()
}

/// Seeds the random numbers of one sampled sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSeed {
    pub seed: u64,
    pub seek: u64,
    /// Index of the temperature.
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn the_exponential_is_accurate_over_its_whole_range() {
        for step in 0..=870_000 {
            let x = -(step as f32) / 10_000.0;
            let right = f64::from(x).exp();
            assert!((f64::from(exp(x)) / right - 1.0).abs() < 2.5e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    /// Irregular logits, the largest in the middle.
    fn logits(len: usize) -> Vec<f32> {
        (0..len)
            .map(|i| 5.0 * (i as f32 * 0.37).sin() - (i as f32 - len as f32 / 2.0).abs() / 1000.0)
            .collect()
    }

    #[test]
    fn log_probabilities_equal_those_in_double_precision() {
        let logits = logits(51_865);
        let sum: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let whole = Distribution::of(&logits, Peak::of(&logits, 0..logits.len()));
        let split = Distribution::of(&logits, Peak::of(&logits, 0..50_364))
            .joined_by(Distribution::of(&logits, Peak::of(&logits, 50_364..51_865)));
        for distribution in [whole, split] {
            for token in [0, 17, 25_000, 51_864] {
                let right = f64::from(logits[token as usize]) - sum.ln();
                assert!((f64::from(distribution.log_prob(&logits, token)) - right).abs() < 2e-6);
            }
            let first_largest = logits.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
            assert_eq!(distribution.likeliest() as usize, first_largest);
        }
    }

    #[test]
    fn the_first_of_equal_logits_is_the_likeliest() {
        let logits = [0.0, 3.0, 1.0, 3.0];
        let halves = Distribution::of(&logits, Peak::of(&logits, 0..2))
            .joined_by(Distribution::of(&logits, Peak::of(&logits, 2..4)));
        assert_eq!(halves.likeliest(), 1);
        assert_eq!(Peak::of(&logits, 0..4).token, 1);
    }

    #[test]
    fn samples_follow_the_probabilities_at_their_temperature() {
        let mut logits = vec![-30.0; 3000];
        (logits[7], logits[2900], logits[2950]) = (1.0, 2.0, 9.0);
        let allowed = Distribution::of(&logits, Peak::of(&logits, 0..100))
            .joined_by(Distribution::of(&logits, Peak::of(&logits, 2900..2910)));
        let draws = 20_000;
        for temperature in [0.5_f32, 1.0] {
            let mut rng = SampleSeed { seed: 1, seek: 2, attempt: 3, candidate: 4 }.rng();
            let drawn: Vec<u32> =
                (0..draws).map(|_| allowed.sample(&logits, temperature, rng.random())).collect();
            let share = drawn.iter().filter(|token| **token == 2900).count() as f64 / f64::from(draws);
            let right = 1.0 / (1.0 + f64::from(-1.0 / temperature).exp());
            assert!((share - right).abs() < 0.01, "{share} instead of {right} at {temperature}");
            assert!(drawn.iter().all(|token| [7, 2900].contains(token)));
        }
    }

    #[test]
    fn every_part_of_the_seed_changes_the_numbers() {
        let seed = SampleSeed { seed: 1, seek: 2, attempt: 3, candidate: 4 };
        let others = [
            SampleSeed { seed: 9, ..seed },
            SampleSeed { seek: 9, ..seed },
            SampleSeed { attempt: 9, ..seed },
            SampleSeed { candidate: 9, ..seed },
        ];
        let number = |seed: SampleSeed| seed.rng().random::<u64>();
        assert_eq!(number(seed), number(seed));
        assert!(others.iter().all(|other| number(*other) != number(seed)));
    }

    #[test]
    fn the_top_equals_that_of_sorting() {
        let logits = logits(3_000);
        let ranges = Distribution::of(&logits, Peak::of(&logits, 0..1_500))
            .joined_by(Distribution::of(&logits, Peak::of(&logits, 1_700..3_000)));
        let mut sorted: Vec<u32> = (0..1_500).chain(1_700..3_000).collect();
        sorted.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        let top = ranges.top(&logits, 6);
        assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), sorted[..6]);
        assert!(top.iter().all(|(token, log_prob)| *log_prob == ranges.log_prob(&logits, *token)));

        let few = [1.0, f32::NEG_INFINITY, 1.0, 2.0];
        let top = Distribution::of(&few, Peak::of(&few, 0..4)).top(&few, 6);
        assert_eq!(top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [3, 0, 2]);
    }
}
