//! Builds the waveform of a recording of any length from a stream of samples: whenever there are too many pairs of peaks,
//! neighbours are merged.

use crate::transcript::Waveform;

/// The most pairs; even.
const MAX_PAIRS: usize = 2_000;
/// The fewest samples of a pair: 10 ms.
const MIN_SAMPLES: u64 = 160;

pub struct WaveformBuilder {
    samples_per_pair: u64,
    pairs: Vec<(f32, f32)>,
    /// The pair that is being filled, and how many samples it covers so far.
    open: (f32, f32),
    filled: u64,
}

const NO_PEAKS: (f32, f32) = (f32::INFINITY, f32::NEG_INFINITY);

impl WaveformBuilder {
    pub fn new() -> Self {
        Self { samples_per_pair: MIN_SAMPLES, pairs: Vec::new(), open: NO_PEAKS, filled: 0 }
    }

    /// Adds samples, in blocks of any size.
    pub fn push(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let missing = (self.samples_per_pair - self.filled) as usize;
            let (taken, rest) = samples.split_at(missing.min(samples.len()));
            self.open = taken.iter().fold(self.open, |(low, high), &x| (low.min(x), high.max(x)));
            self.filled += taken.len() as u64;
            if self.filled == self.samples_per_pair {
                self.close();
            }
            samples = rest;
        }
    }

    fn close(&mut self) {
        self.pairs.push(std::mem::replace(&mut self.open, NO_PEAKS));
        self.filled = 0;
        if self.pairs.len() == MAX_PAIRS {
            let both = |two: &[(f32, f32)]| {
                two.iter().fold(NO_PEAKS, |(low, high), pair| (low.min(pair.0), high.max(pair.1)))
            };
            self.pairs = self.pairs.chunks(2).map(both).collect();
            self.samples_per_pair *= 2;
        }
    }

    pub fn finish(mut self) -> Waveform {
        if self.filled > 0 {
            self.pairs.push(self.open);
        }
        let quantised = |x: f32| (x.clamp(-1.0, 1.0) * 127.0).round() as i8;
        // A pair of nothing that is a number is silence.
        let pair = |&(low, high): &(f32, f32)| match low <= high {
            true => (quantised(low), quantised(high)),
            false => (0, 0),
        };
        Waveform { samples_per_pair: self.samples_per_pair, pairs: self.pairs.iter().map(pair).collect() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(samples: &[f32], dealt: usize) -> Waveform {
        let mut peaks = WaveformBuilder::new();
        samples.chunks(dealt).for_each(|block| peaks.push(block));
        peaks.finish()
    }

    #[test]
    fn the_least_and_the_greatest_of_each_stretch() {
        let mut samples = vec![0.0; 400];
        (samples[3], samples[159], samples[160], samples[399]) = (0.5, -0.25, 2.0, f32::NAN);
        let expected = Waveform { samples_per_pair: 160, pairs: vec![(-32, 64), (0, 127), (0, 0)] };
        assert_eq!(of(&samples, 7), expected);
        assert_eq!(of(&[f32::NAN; 10], 3).pairs, [(0, 0)]);
        assert_eq!(of(&[], 1).pairs, []);
    }

    #[test]
    fn a_long_recording_is_drawn_coarser_and_keeps_its_loudest() {
        // Half an hour of silence with one click.
        let mut samples = vec![0.0f32; 1800 * 16_000];
        samples[1000 * 16_000] = -1.0;
        let found = of(&samples, 4_096);
        assert_eq!(found.samples_per_pair, 160 << 7);
        assert!((MAX_PAIRS / 2..MAX_PAIRS).contains(&found.pairs.len()), "{}", found.pairs.len());
        let clicks: Vec<usize> = (0..found.pairs.len()).filter(|at| found.pairs[*at].0 == -127).collect();
        assert_eq!(clicks, [1000 * 16_000 / (160 << 7)]);
        assert!((found.seconds() - 1800.0).abs() < 1.3);
    }

    proptest! {
        #[test]
        fn however_it_is_dealt_out_it_is_the_same(
            length in 0usize..700_000, dealt in 1usize..50_000, seed in any::<u32>(),
        ) {
            let samples: Vec<f32> = (0..length as u32)
                .map(|n| (n.wrapping_mul(2_654_435_761) ^ seed) as i32 as f32 / 2.2e9)
                .collect();
            let whole = of(&samples, length.max(1));
            prop_assert!(whole.pairs.len() <= MAX_PAIRS);
            prop_assert_eq!(whole.pairs.len(), length.div_ceil(whole.samples_per_pair as usize));
            prop_assert_eq!(of(&samples, dealt), whole);
        }
    }
}
