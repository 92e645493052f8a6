//! Values over time and frequency, and convolutions of three taps in both directions.

use super::weights::{Weights, WeightsResult};
use crate::device::cpu::DenseLayer;

/// `[frames, bands + 2, channels]`, with a band of zeros on either side.
pub struct Plane {
    values: Vec<f32>,
    bands: usize,
    channels: usize,
}

impl Plane {
    /// Makes a plane of `[frames, bands, channels]`.
    pub fn new(values: impl Iterator<Item = f32>, bands: usize, channels: usize) -> Self {
        let values: Vec<f32> = values.collect();
        let frames = values.len() / (bands * channels);
        let mut plane = Plane { values: vec![0.0; frames * (bands + 2) * channels], bands, channels };
        let rows = plane.rows_mut().zip(values.chunks_exact(bands * channels));
        rows.for_each(|(row, values)| row.copy_from_slice(values));
        plane
    }

    pub fn rectify(&mut self) {
        self.values.iter_mut().for_each(|value| *value = value.max(0.0));
    }

    pub fn add(&mut self, other: &Plane) {
        self.values.iter_mut().zip(&other.values).for_each(|(value, other)| *value += other);
    }

    /// Returns `[frames, bands, channels]`.
    pub fn values(mut self) -> Vec<f32> {
        self.rows_mut().flat_map(|row| row.iter().copied()).collect()
    }

    fn frames(&self) -> usize {
        self.values.len() / self.row()
    }

    /// Returns the number of values of a frame, with those on either side.
    fn row(&self) -> usize {
        (self.bands + 2) * self.channels
    }

    /// Returns the values of each frame.
    fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (row, channels) = (self.row(), self.channels);
        self.values.chunks_exact_mut(row).map(move |values| &mut values[channels..row - channels])
    }
}

/// A convolution with zeros around the plane.
#[derive(Debug)]
pub struct PlaneConvolution {
    layer: DenseLayer,
    channels: usize,
    /// Bands of the input between those of the result.
    step: usize,
    /// Whether it reads the neighbours too.
    reads_neighbours: bool,
}

impl PlaneConvolution {
    /// Loads `[out, channels, 3, 3]`, the bands before the frames.
    pub fn load(
        weights: &Weights<'_>,
        name: &str,
        channels: usize,
        out: usize,
        step: usize,
    ) -> WeightsResult<Self> {
        let weight = weights.numbers(&format!("{name}.weight"), &[out, channels, 3, 3])?;
        let width = 9 * channels;
        let row = |row: &[f32]| -> Vec<f32> {
            let at = |i: usize| {
                let (frame, band, channel) = (i / (3 * channels), i / channels % 3, i % channels);
                row[channel * 9 + band * 3 + frame]
            };
            (0..width).map(at).collect()
        };
        let weight: Vec<f32> = weight.chunks_exact(width).flat_map(row).collect();
        let bias = weights.numbers(&format!("{name}.bias"), &[out])?;
        let layer = DenseLayer::new(&weight, width, Some(bias), weights.level);
        Ok(PlaneConvolution { layer, channels, step, reads_neighbours: true })
    }

    /// Loads `[channels, channels, 1, 1]`.
    pub fn pointwise(weights: &Weights<'_>, name: &str, channels: usize, step: usize) -> WeightsResult<Self> {
        let weight = weights.numbers(&format!("{name}.weight"), &[channels, channels, 1, 1])?;
        let bias = weights.numbers(&format!("{name}.bias"), &[channels])?;
        let layer = DenseLayer::new(&weight, channels, Some(bias), weights.level);
        Ok(PlaneConvolution { layer, channels, step, reads_neighbours: false })
    }

    pub fn apply(&self, x: &Plane) -> Plane {
        let (frames, bands, out) = (x.frames(), x.bands.div_ceil(self.step), self.layer.out());
        let mut y = Plane { values: vec![0.0; frames * (bands + 2) * out], bands, channels: out };
        // As many frames at once as give a product some rows.
        let at_once = (160 / bands).max(1);
        let (mut patches, mut results) = (Vec::new(), Vec::new());
        let row = y.row();
        for (nth, rows) in y.values.chunks_mut(at_once * row).enumerate() {
            let count = rows.len() / row;
            patches.clear();
            (0..count).for_each(|frame| self.push_patches(x, nth * at_once + frame, &mut patches));
            results.resize(count * bands * out, 0.0);
            self.layer.apply(&patches, &mut results);
            for (row, results) in rows.chunks_exact_mut(row).zip(results.chunks_exact(bands * out)) {
                row[out..out + bands * out].copy_from_slice(results);
            }
        }
        y
    }

    /// Appends what each band of the result reads in a frame.
    fn push_patches(&self, x: &Plane, frame: usize, patches: &mut Vec<f32>) {
        let (row, channels) = (x.row(), self.channels);
        for band in (0..x.bands).step_by(self.step) {
            if !self.reads_neighbours {
                patches.extend_from_slice(&x.values[frame * row + (band + 1) * channels..][..channels]);
                continue;
            }
            for frame in [frame.checked_sub(1), Some(frame), Some(frame + 1)] {
                match frame.filter(|frame| *frame < x.frames()) {
                    Some(frame) => {
                        patches.extend_from_slice(&x.values[frame * row + band * channels..][..3 * channels])
                    }
                    None => patches.resize(patches.len() + 3 * channels, 0.0),
                }
            }
        }
    }
}
