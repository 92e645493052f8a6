//! Pseudo-random weights of any shape, the same on every machine and easy to reproduce in any language: for benchmarks,
//! and for comparing the network with other implementations without a checkpoint.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rayon::prelude::*;

use super::config::WhisperConfig;

/// The values of one tensor: hashes of its name and of each element's index, uniform in [-0.5, 0.5).
pub struct HashedValues(u64);

impl HashedValues {
    pub fn of(name: &str) -> Self {
        // FNV-1a
        let seed = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        HashedValues(seed)
    }

    /// Returns 64 bits for element `i`: a step of splitmix64.
    pub fn bits(&self, i: usize) -> u64 {
        let z = self.0.wrapping_add((i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn uniform(&self, i: usize) -> f32 {
        (self.bits(i) >> 40) as f32 / 16_777_216.0 - 0.5
    }
}

/// Returns random weights for any configuration, on the host.
pub fn weights(dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(RandomWeights), dtype, Device::Cpu).pp("model")
}

struct RandomWeights;

impl SimpleBackend for RandomWeights {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let values = match name {
            "model.encoder.embed_positions.weight" => {
                let (rows, width) = shape.dims2()?;
                sinusoids(rows, width)
            }
            _ => random_values(name, &shape),
        };
        Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle_core::bail!("no shape for `{name}`")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

fn random_values(name: &str, shape: &Shape) -> Vec<f32> {
    let fan_in: usize = shape.dims().iter().skip(1).product();
    let (offset, scale) = match name {
        _ if name.ends_with("layer_norm.weight") => (1.0, 0.2),
        _ if name.ends_with(".bias") => (0.0, 0.2),
        _ if name.starts_with("model.decoder.embed_") => (0.0, 0.08),
        _ => (0.0, (3.464_101_6 / (fan_in as f64).sqrt()) as f32),
    };
    let hashed = HashedValues::of(name);
    (0..shape.elem_count()).into_par_iter().map(|i| offset + hashed.uniform(i) * scale).collect()
}

/// Returns Whisper's fixed audio positions: sines in the first half of the columns, cosines in the second.
pub fn sinusoids(rows: usize, width: usize) -> Vec<f32> {
    let half = width / 2;
    let step = (10_000f64).ln() / (half.max(2) - 1) as f64;
    let rate: Vec<f32> = (0..half).map(|i| (-step * i as f64).exp() as f32).collect();
    let angle = move |row: usize, i: usize| f64::from(row as f32 * rate[i]);
    (0..rows * width)
        .map(|i| match (i / width, i % width) {
            (row, column) if column < half => angle(row, column).sin() as f32,
            (row, column) => angle(row, column - half).cos() as f32,
        })
        .collect()
}

/// Returns a window of noise, the input that goes with random weights.
pub fn mel(config: &WhisperConfig, window: usize) -> Vec<f32> {
    let hashed = HashedValues::of(&format!("input.mel.{window}"));
    (0..config.num_mel_bins * 2 * config.max_source_positions).map(|i| hashed.uniform(i) * 2.0).collect()
}
