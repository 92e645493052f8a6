//! Log-mel windows → what the decoder listens to.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::SelfAttention;
use super::config::Config;
use super::layers::{FeedForward, LayerNorm, Linear};
use crate::device::Kernels;

#[derive(Debug)]
pub struct Encoder {
    conv1: Convolution,
    conv2: Convolution,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    heads: usize,
    kernels: Arc<dyn Kernels>,
}

#[derive(Debug)]
struct Layer {
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl Encoder {
    pub fn new(config: &Config, weights: VarBuilder<'_>, kernels: Arc<dyn Kernels>) -> Result<Self> {
        let width = config.d_model;
        let layer = |i: usize| {
            let weights = weights.pp("layers").pp(i);
            Ok(Layer {
                attention: SelfAttention::load(&weights, width, &kernels)?,
                feed_forward: FeedForward::load(&weights, width, config.encoder_ffn_dim, &kernels)?,
            })
        };
        Ok(Encoder {
            conv1: Convolution::load(weights.pp("conv1"), config.num_mel_bins, width, 1, &kernels)?,
            conv2: Convolution::load(weights.pp("conv2"), width, width, 2, &kernels)?,
            positions: weights.get((config.max_source_positions, width), "embed_positions.weight")?,
            layers: (0..config.encoder_layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights.pp("layer_norm"), width, kernels.clone())?,
            heads: config.encoder_attention_heads,
            kernels,
        })
    }

    /// `[windows, bins, frames]` → `[windows, frames / 2, width]`.
    pub fn forward(&self, mel: &Tensor) -> Result<Tensor> {
        let x = self.conv1.forward_gelu(&mel.transpose(1, 2)?.contiguous()?)?;
        let mut x = self.conv2.forward_gelu(&x)?.broadcast_add(&self.positions)?;
        for layer in &self.layers {
            let qkv = layer.attention.qkv.forward(&layer.attention.norm.forward(&x)?)?;
            x = (x + layer.attention.out.forward(&self.kernels.attention(&qkv, self.heads)?)?)?;
            x = layer.feed_forward.forward(&x)?;
        }
        self.norm.forward(&x)
    }
}

/// A convolution of three taps with one zero on either side, as one matrix product of the rows laid side by
/// side.
#[derive(Debug)]
struct Convolution {
    taps: Linear,
    stride: usize,
}

impl Convolution {
    fn load(
        weights: VarBuilder<'_>,
        input: usize,
        output: usize,
        stride: usize,
        kernels: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let weight =
            weights.get((output, input, 3), "weight")?.transpose(1, 2)?.reshape((output, 3 * input))?;
        let bias = Some(weights.get(output, "bias")?);
        Ok(Convolution { taps: Linear::new(weight, bias, kernels.clone())?, stride })
    }

    /// `[windows, rows, input]` → `[windows, rows / stride, output]`.
    fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        let (windows, rows, width) = x.dims3()?;
        let (padded, out) = (x.pad_with_zeros(1, 1, 1)?, rows / self.stride);
        let tap = |first: usize| {
            let rows = padded.narrow(1, first, out * self.stride)?.contiguous()?;
            rows.reshape((windows, out, self.stride * width))?.narrow(2, 0, width)
        };
        self.taps.forward_gelu(&Tensor::cat(&[tap(0)?, tap(1)?, tap(2)?], 2)?.contiguous()?)
    }
}
