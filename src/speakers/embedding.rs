//! The embedding network: frames of a filter bank in which one person speaks → a direction that is close to those of the
//! same voice.
//!
//! It is CAM++ as 3D-Speaker trained it: a few convolutions over time and frequency, three blocks of layers over time of
//! which each reads the results of all before it, weighted by their context, and the mean and the spread over time.

use super::filter_bank;
use super::plane::{Plane, PlaneConvolution};
use super::weights::{Weights, WeightsResult};
use crate::device::cpu::DenseLayer;

/// Values of an embedding.
pub const SIZE: usize = 192;

/// Channels of the convolutions, and the bands that are left behind them.
const HEAD_CHANNELS: usize = 32;
const HEAD_BANDS: usize = filter_bank::BANDS / 8;
/// Channels before the first block, those that each layer adds, and those inside a layer.
const FIRST_CHANNELS: usize = 128;
const GROWTH: usize = 32;
const BOTTLENECK: usize = 128;
const CONTEXT: usize = BOTTLENECK / 2;
/// Taps and step of the layer before the blocks.
const TAPS: usize = 5;
const STEP: usize = 2;
/// Layers of each block, and the distance of their three taps.
const BLOCKS: [(usize, usize); 3] = [(12, 1), (24, 2), (16, 2)];
/// Steps that share a context.
const CONTEXT_STEPS: usize = 100;

#[derive(Debug)]
pub struct EmbeddingNetwork {
    first: PlaneConvolution,
    residual: Vec<ResidualBlock>,
    last: PlaneConvolution,
    tdnn: DenseLayer,
    blocks: Vec<Block>,
    out: Affine,
    dense: DenseLayer,
}

impl EmbeddingNetwork {
    pub fn load(bytes: &[u8]) -> WeightsResult<Self> {
        let weights = Weights::new(bytes)?;
        let mut residual = Vec::new();
        for i in 0..2 {
            residual.push(ResidualBlock::load(&weights, &format!("head.block{i}0"), 2)?);
            residual.push(ResidualBlock::load(&weights, &format!("head.block{i}1"), 1)?);
        }
        let mut channels = FIRST_CHANNELS;
        let mut blocks = Vec::new();
        for (index, (layers, distance)) in BLOCKS.into_iter().enumerate() {
            blocks.push(Block::load(&weights, index, channels, layers, distance)?);
            channels = (channels + layers * GROWTH) / 2;
        }
        // The file counts the head's channels bands by bands.
        let order = |channel: usize| channel % HEAD_CHANNELS * HEAD_BANDS + channel / HEAD_CHANNELS;
        let head = HEAD_CHANNELS * HEAD_BANDS;
        Ok(EmbeddingNetwork {
            first: PlaneConvolution::load(&weights, "head.conv1", 1, HEAD_CHANNELS, 1)?,
            residual,
            last: PlaneConvolution::load(&weights, "head.conv2", HEAD_CHANNELS, HEAD_CHANNELS, 2)?,
            tdnn: weights.convolution("tdnn", [FIRST_CHANNELS, head, TAPS], order)?,
            blocks,
            out: Affine::load(&weights, "out", channels)?,
            dense: weights.dense("dense", SIZE, 2 * channels)?,
        })
    }

    /// Returns the embedding of frames, `[frames, bands]`, as a vector of length 1.
    pub fn embed(&self, frames: &[f32]) -> Vec<f32> {
        let mut embedding = self.direction(frames);
        normalize(&mut embedding);
        embedding
    }

    fn direction(&self, frames: &[f32]) -> Vec<f32> {
        let mut x = self.body(&self.head(frames));
        let channels = self.out.scale.len();
        self.out.apply(&mut x);
        let mut pooled = mean(&x, channels);
        let spread = deviation(&x, &pooled);
        pooled.extend(spread);
        let mut embedding = vec![0.0; SIZE];
        self.dense.apply(&pooled, &mut embedding);
        embedding
    }

    /// Returns `[frames, bands · channels]` of the convolutions.
    fn head(&self, frames: &[f32]) -> Vec<f32> {
        let bands = filter_bank::BANDS;
        let means = mean(frames, bands);
        let centred =
            frames.chunks_exact(bands).flat_map(|row| row.iter().zip(&means).map(|(x, mean)| x - mean));
        let mut plane = self.first.apply(&Plane::new(centred, bands, 1));
        plane.rectify();
        for block in &self.residual {
            plane = block.apply(&plane);
        }
        plane = self.last.apply(&plane);
        plane.rectify();
        plane.values()
    }

    /// Returns `[steps, channels]` of the layers over time.
    fn body(&self, head: &[f32]) -> Vec<f32> {
        let width = HEAD_CHANNELS * HEAD_BANDS;
        let steps = (head.len() / width - 1) / STEP + 1;
        let side = vec![0.0; TAPS / 2 * width];
        let padded = [&side, head, &side].concat();
        let mut x = vec![0.0; steps * FIRST_CHANNELS];
        self.tdnn.apply_strided(&padded, STEP * width, &mut x);
        rectify(&mut x);
        for block in &self.blocks {
            x = block.apply(&x);
        }
        x
    }
}

/// Two convolutions whose result is added to what they read.
#[derive(Debug)]
struct ResidualBlock {
    first: PlaneConvolution,
    second: PlaneConvolution,
    /// What is read, where the block leaves out every other band.
    shortcut: Option<PlaneConvolution>,
}

impl ResidualBlock {
    fn load(weights: &Weights<'_>, name: &str, step: usize) -> WeightsResult<Self> {
        let convolution = |part: &str, step| {
            PlaneConvolution::load(weights, &format!("{name}.{part}"), HEAD_CHANNELS, HEAD_CHANNELS, step)
        };
        let shortcut =
            || PlaneConvolution::pointwise(weights, &format!("{name}.shortcut"), HEAD_CHANNELS, step);
        Ok(ResidualBlock {
            first: convolution("conv1", step)?,
            second: convolution("conv2", 1)?,
            shortcut: (step > 1).then(shortcut).transpose()?,
        })
    }

    fn apply(&self, x: &Plane) -> Plane {
        let mut y = self.first.apply(x);
        y.rectify();
        let mut y = self.second.apply(&y);
        match &self.shortcut {
            Some(shortcut) => y.add(&shortcut.apply(x)),
            None => y.add(x),
        }
        y.rectify();
        y
    }
}

/// Layers of which each reads the results of all before it, and a layer that halves their channels.
#[derive(Debug)]
struct Block {
    layers: Vec<ContextLayer>,
    before_transit: Affine,
    transit: DenseLayer,
    channels: usize,
}

impl Block {
    fn load(
        weights: &Weights<'_>,
        index: usize,
        channels: usize,
        layers: usize,
        distance: usize,
    ) -> WeightsResult<Self> {
        let layer = |nth: usize| {
            let name = format!("block{index}.{nth}");
            ContextLayer::load(weights, &name, channels + nth * GROWTH, distance)
        };
        let all = channels + layers * GROWTH;
        Ok(Block {
            layers: (0..layers).map(layer).collect::<WeightsResult<_>>()?,
            before_transit: Affine::load(weights, &format!("transit{index}.before"), all)?,
            transit: weights.dense(&format!("transit{index}"), all / 2, all)?,
            channels,
        })
    }

    fn apply(&self, x: &[f32]) -> Vec<f32> {
        let steps = x.len() / self.channels;
        let all = self.channels + self.layers.len() * GROWTH;
        let mut grown = vec![0.0; steps * all];
        for (row, x) in grown.chunks_exact_mut(all).zip(x.chunks_exact(self.channels)) {
            row[..self.channels].copy_from_slice(x);
        }
        for (nth, layer) in self.layers.iter().enumerate() {
            let channels = self.channels + nth * GROWTH;
            let added = layer.apply(&grown, all, channels);
            for (row, added) in grown.chunks_exact_mut(all).zip(added.chunks_exact(GROWTH)) {
                row[channels..][..GROWTH].copy_from_slice(added);
            }
        }
        self.before_transit.apply(&mut grown);
        let mut y = vec![0.0; steps * all / 2];
        self.transit.apply(&grown, &mut y);
        y
    }
}

/// A layer of three taps over time whose results are weighted by their context.
#[derive(Debug)]
struct ContextLayer {
    before: Affine,
    bottleneck: DenseLayer,
    local: DenseLayer,
    context: [DenseLayer; 2],
    distance: usize,
}

impl ContextLayer {
    fn load(weights: &Weights<'_>, name: &str, channels: usize, distance: usize) -> WeightsResult<Self> {
        Ok(ContextLayer {
            before: Affine::load(weights, &format!("{name}.before"), channels)?,
            bottleneck: weights.dense(&format!("{name}.bottleneck"), BOTTLENECK, channels)?,
            local: weights
                .convolution(&format!("{name}.local"), [GROWTH, BOTTLENECK, 3], |channel| channel)?,
            context: [
                weights.dense(&format!("{name}.context1"), CONTEXT, BOTTLENECK)?,
                weights.dense(&format!("{name}.context2"), GROWTH, CONTEXT)?,
            ],
            distance,
        })
    }

    /// Reads the first channels of rows of `all`, and returns `[steps, growth]`.
    fn apply(&self, rows: &[f32], all: usize, channels: usize) -> Vec<f32> {
        let mut input: Vec<f32> = rows.chunks_exact(all).flat_map(|row| &row[..channels]).copied().collect();
        self.before.apply(&mut input);
        let steps = rows.len() / all;
        let mut x = vec![0.0; steps * BOTTLENECK];
        self.bottleneck.apply(&input, &mut x);
        rectify(&mut x);
        let mut y = vec![0.0; steps * GROWTH];
        self.local.apply(&self.taps(&x), &mut y);
        let whole = mean(&x, BOTTLENECK);
        for (x, y) in x.chunks(CONTEXT_STEPS * BOTTLENECK).zip(y.chunks_mut(CONTEXT_STEPS * GROWTH)) {
            let weights = self.weights(&whole, &mean(x, BOTTLENECK));
            for row in y.chunks_exact_mut(GROWTH) {
                row.iter_mut().zip(&weights).for_each(|(value, weight)| *value *= weight);
            }
        }
        y
    }

    /// Returns the rows before, at and behind each step, one after the other; zeros where there are none.
    fn taps(&self, x: &[f32]) -> Vec<f32> {
        let steps = x.len() / BOTTLENECK;
        let mut taps = vec![0.0; 3 * x.len()];
        for (step, taps) in taps.chunks_exact_mut(3 * BOTTLENECK).enumerate() {
            let from = [step.checked_sub(self.distance), Some(step), Some(step + self.distance)];
            for (tap, from) in taps.chunks_exact_mut(BOTTLENECK).zip(from) {
                if let Some(from) = from.filter(|from| *from < steps) {
                    tap.copy_from_slice(&x[from * BOTTLENECK..][..BOTTLENECK]);
                }
            }
        }
        taps
    }

    /// Returns what the results are multiplied by where the context is this.
    fn weights(&self, whole: &[f32], near: &[f32]) -> Vec<f32> {
        let context: Vec<f32> = whole.iter().zip(near).map(|(whole, near)| whole + near).collect();
        let mut inner = vec![0.0; CONTEXT];
        self.context[0].apply(&context, &mut inner);
        rectify(&mut inner);
        let mut weights = vec![0.0; GROWTH];
        self.context[1].apply(&inner, &mut weights);
        weights.iter_mut().for_each(|weight| *weight = 1.0 / (1.0 + (-*weight).exp()));
        weights
    }
}

/// A scale and a shift of each channel before a rectifier.
#[derive(Debug)]
struct Affine {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    fn load(weights: &Weights<'_>, name: &str, channels: usize) -> WeightsResult<Self> {
        Ok(Affine {
            scale: weights.numbers(&format!("{name}.scale"), &[channels])?,
            shift: weights.numbers(&format!("{name}.shift"), &[channels])?,
        })
    }

    fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.scale.len()) {
            for ((value, scale), shift) in row.iter_mut().zip(&self.scale).zip(&self.shift) {
                *value = (*value * scale + shift).max(0.0);
            }
        }
    }
}

fn rectify(values: &mut [f32]) {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
}

/// Returns the mean of the rows.
fn mean(rows: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; channels];
    for row in rows.chunks_exact(channels) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    let count = (rows.len() / channels) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Returns the standard deviation of the rows; what the network was trained with where there is one row only.
fn deviation(rows: &[f32], means: &[f32]) -> Vec<f32> {
    let count = rows.len() / means.len();
    if count < 2 {
        return vec![1e-2; means.len()];
    }
    let mut squares = vec![0.0_f64; means.len()];
    for row in rows.chunks_exact(means.len()) {
        for ((square, value), mean) in squares.iter_mut().zip(row).zip(means) {
            *square += f64::from(value - mean).powi(2);
        }
    }
    squares.into_iter().map(|square| (square / (count - 1) as f64).sqrt() as f32).collect()
}

/// Scales a vector to the length 1, unless it is zero.
pub fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter_bank::{FilterBank, LENGTH, STEP};
    use crate::speakers::{Networks, fixture};

    #[test]
    fn equals_the_original() {
        let samples = &crate::audio::fixture("short_en")[..64_000];
        let (mut bank, mut frames) = (FilterBank::new(), Vec::new());
        samples.windows(LENGTH).step_by(STEP).for_each(|frame| bank.push_frame(frame, &mut frames));
        let ours = Networks::built_in().embedding.direction(&frames);
        let expected = fixture("embedding");
        let error =
            ours.iter().zip(&expected).map(|(ours, expected)| (ours - expected).abs()).fold(0.0, f32::max);
        assert!(ours.len() == expected.len() && error < 1e-3, "{error}");
    }

    #[test]
    fn any_number_of_frames_has_an_embedding() {
        let frames: Vec<f32> = (0..80 * 230).map(|i| (i * 7 % 31) as f32).collect();
        for count in [1, 2, 3, 99, 201, 230] {
            let embedding = Networks::built_in().embedding.embed(&frames[..80 * count]);
            let length: f32 = embedding.iter().map(|value| value * value).sum();
            assert!((length - 1.0).abs() < 1e-5, "{count}: {length}");
        }
    }
}
