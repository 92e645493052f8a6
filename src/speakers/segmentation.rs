//! The segmentation network: ten seconds of samples → which of at most three people speaks in each frame.
//!
//! It is pyannote's segmentation 3.0: band-pass filters over the samples (SincNet), two convolutions, four LSTM layers in
//! both directions, and a choice among the seven sets of at most two of three people.

use super::weights::{Weights, WeightsResult};
use crate::device::cpu::{DenseLayer, LstmLayer, SimdLevel};

/// Samples in a window.
pub const WINDOW: usize = 160_000;
/// Frames in a window.
pub const FRAMES: usize = 589;
/// Samples between frames: one in 16.875 ms.
pub const FRAME_STEP: usize = 270;
/// Samples that the first frame depends on.
pub const FIELD: usize = 991;
/// People that a window can tell apart.
pub const PEOPLE: usize = 3;

/// The sets of people among which each frame chooses, as bits.
const SETS: [u8; 7] = [0b000, 0b001, 0b010, 0b100, 0b011, 0b101, 0b110];

/// Samples between the steps of the filters, which are this long.
const SINC_STEP: usize = 10;
const SINC_LENGTH: usize = 251;
const HALF: usize = SINC_LENGTH / 2;
/// Even filters, and as many odd ones.
const BANDS: usize = 40;
/// Taps of the convolutions, and steps of which each pool keeps the maximum.
const TAPS: usize = 5;
const POOL: usize = 3;
/// Channels after the convolutions, values in a state of the LSTM, and between the last layers.
const CHANNELS: usize = 60;
const STATE: usize = 128;
const LAYERS: usize = 4;
/// Filters' outputs computed at once.
const BLOCK: usize = 96 * POOL;

#[derive(Debug)]
pub struct SegmentationNetwork {
    wave_norm: InstanceNorm,
    /// A filter is even or odd around its centre, so that half of the products suffice.
    even: DenseLayer,
    odd: DenseLayer,
    convolutions: [DenseLayer; 2],
    norms: [InstanceNorm; 3],
    lstm: Vec<[LstmLayer; 2]>,
    linear: [DenseLayer; 2],
    classifier: DenseLayer,
}

impl SegmentationNetwork {
    pub fn load(bytes: &[u8]) -> WeightsResult<Self> {
        let weights = Weights::new(bytes)?;
        let sinc = weights.numbers("sinc.weight", &[2 * BANDS, SINC_LENGTH])?;
        let (even, odd) = sinc.split_at(BANDS * SINC_LENGTH);
        let layer = |index: usize| {
            let inputs = if index == 0 { CHANNELS } else { 2 * STATE };
            let direction =
                |name, is_backward| weights.lstm(&format!("lstm{index}.{name}"), inputs, STATE, is_backward);
            Ok([direction("forward", false)?, direction("backward", true)?])
        };
        let norm = |name: &str, channels| InstanceNorm::load(&weights, name, channels);
        Ok(SegmentationNetwork {
            wave_norm: norm("wave_norm", 1)?,
            even: half_filters(even, 0, weights.level),
            odd: half_filters(odd, 1, weights.level),
            convolutions: [
                weights.convolution("conv1", [CHANNELS, 2 * BANDS, TAPS], |channel| channel)?,
                weights.convolution("conv2", [CHANNELS, CHANNELS, TAPS], |channel| channel)?,
            ],
            norms: [norm("norm0", 2 * BANDS)?, norm("norm1", CHANNELS)?, norm("norm2", CHANNELS)?],
            lstm: (0..LAYERS).map(layer).collect::<WeightsResult<_>>()?,
            linear: [weights.dense("linear0", STATE, 2 * STATE)?, weights.dense("linear1", STATE, STATE)?],
            classifier: weights.dense("classifier", SETS.len(), STATE)?,
        })
    }

    /// Returns who speaks in each frame of each window, as bits. What a window gives does not depend on those beside it.
    pub fn people(&self, windows: &[&[f32]]) -> Vec<Vec<u8>> {
        let scores = self.scores(windows);
        let frame = |scores: &[f32]| {
            let best =
                (1..SETS.len()).fold(0, |best, set| if scores[set] > scores[best] { set } else { best });
            SETS[best]
        };
        scores.iter().map(|scores| scores.chunks_exact(SETS.len()).map(frame).collect()).collect()
    }

    /// Returns `[frames, sets]` for each window.
    fn scores(&self, windows: &[&[f32]]) -> Vec<Vec<f32>> {
        let count = windows.len();
        // The values of one frame lie side by side for all windows, as the LSTM advances them together.
        let mut x = vec![0.0; FRAMES * count * CHANNELS];
        for (nth, window) in windows.iter().enumerate() {
            let features = self.features(window);
            for (frame, values) in features.chunks_exact(CHANNELS).enumerate() {
                x[(frame * count + nth) * CHANNELS..][..CHANNELS].copy_from_slice(values);
            }
        }
        for [forward, backward] in &self.lstm {
            let mut y = vec![0.0; FRAMES * count * 2 * STATE];
            forward.run(&x, count, 2 * STATE, 0, &mut y);
            backward.run(&x, count, 2 * STATE, STATE, &mut y);
            x = y;
        }
        for layer in &self.linear {
            let mut y = vec![0.0; FRAMES * count * STATE];
            layer.apply(&x, &mut y);
            leaky(&mut y);
            x = y;
        }
        let mut y = vec![0.0; FRAMES * count * SETS.len()];
        self.classifier.apply(&x, &mut y);
        let of_window = |nth: usize| {
            let rows = y.chunks_exact(SETS.len()).skip(nth).step_by(count);
            rows.flatten().copied().collect()
        };
        (0..count).map(of_window).collect()
    }

    /// Returns `[frames, channels]` of one window.
    fn features(&self, window: &[f32]) -> Vec<f32> {
        let mut samples = window.to_vec();
        self.wave_norm.apply(&mut samples);
        let mut x = self.filter(&samples);
        self.norms[0].apply(&mut x);
        leaky(&mut x);
        let mut channels = 2 * BANDS;
        for (convolution, norm) in self.convolutions.iter().zip(&self.norms[1..]) {
            let steps = x.len() / channels - (TAPS - 1);
            let mut y = vec![0.0; steps * CHANNELS];
            convolution.apply_strided(&x, channels, &mut y);
            x = Vec::with_capacity(y.len() / POOL);
            pool(&y, CHANNELS, |value| value, &mut x);
            norm.apply(&mut x);
            leaky(&mut x);
            channels = CHANNELS;
        }
        x
    }

    /// Returns the magnitudes of all filters' outputs, the greatest of each three.
    fn filter(&self, samples: &[f32]) -> Vec<f32> {
        let steps = (samples.len() - SINC_LENGTH) / SINC_STEP + 1;
        let mut pooled = Vec::with_capacity(steps / POOL * 2 * BANDS);
        let (mut sums, mut differences) = (Vec::new(), Vec::new());
        let mut block = vec![0.0; BLOCK * 2 * BANDS];
        let (mut even, mut odd) = (vec![0.0; BLOCK * BANDS], vec![0.0; BLOCK * BANDS]);
        // Steps that fill no pool are left out.
        for first in (0..steps / POOL * POOL).step_by(BLOCK) {
            let count = BLOCK.min(steps / POOL * POOL - first);
            sums.clear();
            differences.clear();
            for step in first..first + count {
                let around = &samples[step * SINC_STEP..][..SINC_LENGTH];
                let (before, after) = (&around[..HALF], &around[HALF + 1..]);
                sums.push(around[HALF]);
                sums.extend(after.iter().zip(before.iter().rev()).map(|(after, before)| after + before));
                differences
                    .extend(after.iter().zip(before.iter().rev()).map(|(after, before)| after - before));
            }
            let (even, odd) = (&mut even[..count * BANDS], &mut odd[..count * BANDS]);
            self.even.apply(&sums, even);
            self.odd.apply(&differences, odd);
            let block = &mut block[..count * 2 * BANDS];
            let rows = even.chunks_exact(BANDS).zip(odd.chunks_exact(BANDS));
            for (row, (even, odd)) in block.chunks_exact_mut(2 * BANDS).zip(rows) {
                row[..BANDS].copy_from_slice(even);
                row[BANDS..].copy_from_slice(odd);
            }
            pool(block, 2 * BANDS, f32::abs, &mut pooled);
        }
        pooled
    }
}

/// Returns the right halves of filters, with their centres if they are even.
fn half_filters(filters: &[f32], without_centre: usize, level: SimdLevel) -> DenseLayer {
    let halves = filters.chunks_exact(SINC_LENGTH).flat_map(|filter| &filter[HALF + without_centre..]);
    DenseLayer::new(&halves.copied().collect::<Vec<f32>>(), HALF + 1 - without_centre, None, level)
}

/// Appends the greatest of each three rows' values; a rest of one or two rows is left out.
fn pool(x: &[f32], channels: usize, value: impl Fn(f32) -> f32, out: &mut Vec<f32>) {
    for rows in x.chunks_exact(POOL * channels) {
        let at = |row: usize, channel: usize| value(rows[row * channels + channel]);
        out.extend((0..channels).map(|channel| at(0, channel).max(at(1, channel)).max(at(2, channel))));
    }
}

fn leaky(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.max(0.01 * *value));
}

/// A normalization of each channel over all steps.
#[derive(Debug)]
struct InstanceNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl InstanceNorm {
    fn load(weights: &Weights<'_>, name: &str, channels: usize) -> WeightsResult<Self> {
        Ok(InstanceNorm {
            weight: weights.numbers(&format!("{name}.weight"), &[channels])?,
            bias: weights.numbers(&format!("{name}.bias"), &[channels])?,
        })
    }

    /// Normalizes `[steps, channels]` in place.
    fn apply(&self, x: &mut [f32]) {
        let channels = self.weight.len();
        let steps = (x.len() / channels) as f64;
        let mut sums = vec![0.0_f64; channels];
        for row in x.chunks_exact(channels) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let means: Vec<f64> = sums.iter().map(|sum| sum / steps).collect();
        let mut squares = vec![0.0_f64; channels];
        for row in x.chunks_exact(channels) {
            for ((square, value), mean) in squares.iter_mut().zip(row).zip(&means) {
                *square += (f64::from(*value) - mean).powi(2);
            }
        }
        let scale = |(weight, square): (&f32, &f64)| f64::from(*weight) / (square / steps + 1e-5).sqrt();
        let scales: Vec<f64> = self.weight.iter().zip(&squares).map(scale).collect();
        let shift = |((bias, mean), scale): ((&f32, &f64), &f64)| (f64::from(*bias) - mean * scale) as f32;
        let shifts: Vec<f32> = self.bias.iter().zip(&means).zip(&scales).map(shift).collect();
        let scales: Vec<f32> = scales.into_iter().map(|scale| scale as f32).collect();
        for row in x.chunks_exact_mut(channels) {
            for ((value, scale), shift) in row.iter_mut().zip(&scales).zip(&shifts) {
                *value = *value * scale + shift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speakers::{Networks, fixture};

    #[test]
    fn equals_the_original() {
        let samples = crate::audio::fixture("short_en");
        let networks = Networks::built_in();
        let network = &networks.segmentation;
        let scores = network.scores(&[&samples[..WINDOW]]).remove(0);
        let expected = fixture("segmentation");
        assert_eq!(scores.len(), expected.len());
        let probabilities = scores.chunks(SETS.len()).flat_map(|scores| {
            let exps: Vec<f32> = scores.iter().map(|score| score.exp()).collect();
            let sum: f32 = exps.iter().sum();
            exps.into_iter().map(move |exp| exp / sum)
        });
        let error =
            probabilities.zip(&expected).map(|(ours, expected)| (ours - expected).abs()).fold(0.0, f32::max);
        assert!(error < 1e-4, "{error}");
    }

    #[test]
    fn windows_do_not_depend_on_their_neighbours() {
        let samples = crate::audio::fixture("short_en");
        let mut other = samples.clone();
        other.reverse();
        let networks = Networks::built_in();
        let network = &networks.segmentation;
        let alone = network.scores(&[&samples[..WINDOW]]);
        let together = network.scores(&[&other[..WINDOW], &samples[..WINDOW], &other[..WINDOW]]);
        assert!(alone[0] == together[1]);
    }
}
