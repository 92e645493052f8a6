//! Log-mel windows → what the decoder listens to.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::attention::SelfAttention;
use super::config::Config;
use super::layers::{FeedForward, LayerNorm, Linear};
use super::workspace::Work;
use crate::device::Kernels;
use crate::device::kernels::Then;

#[derive(Debug)]
pub struct Encoder {
    conv1: Linear,
    conv2: Linear,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    bins: usize,
    heads: usize,
    /// Width of the feed-forward's inside.
    inner: usize,
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
            conv1: convolution(weights.pp("conv1"), config.num_mel_bins, width, &kernels)?,
            conv2: convolution(weights.pp("conv2"), width, width, &kernels)?,
            positions: kernels
                .tensor(weights.get((config.max_source_positions, width), "embed_positions.weight")?)?,
            layers: (0..config.encoder_layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights.pp("layer_norm"), width, kernels.clone())?,
            bins: config.num_mel_bins,
            heads: config.encoder_attention_heads,
            inner: config.encoder_ffn_dim,
            kernels,
        })
    }

    /// Windows of `[bins, frames]` → `[windows, frames / 2, width]`, which lies in `work.narrow`.
    pub fn forward(&self, mel: &[&[f32]], work: &mut Work) -> Result<Tensor> {
        let (rows, width) = self.positions.dims2()?;
        let (windows, frames) = (mel.len(), 2 * rows);
        // The largest first, so that nothing moves in between.
        work.wide.view((windows, rows, self.inner.max(3 * width)))?;
        work.narrow.view(windows * (rows * width).max(frames * self.bins))?;
        let read = work.mel.view((windows, self.bins, frames))?;
        let heard = work.narrow.view((windows, frames, self.bins))?;
        let convolved = work.wide.view((windows, frames, width))?;
        let x = work.x.view((windows, rows, width))?;
        let narrow = work.narrow.view((windows, rows, width))?;
        let qkv = work.wide.view((windows, rows, 3 * width))?;
        let inner = work.wide.view((windows, rows, self.inner))?;
        // Memory that was just made, and the weights, come by the device's own queue.
        self.kernels.follow()?;
        self.kernels.write(mel, &read)?;
        self.kernels.turn(&read, &heard)?;
        self.conv1.convolve(&heard, 1, &convolved)?;
        self.conv2.convolve(&convolved, 2, &x)?;
        self.kernels.add(&self.positions, &x)?;
        for layer in &self.layers {
            layer.attention.norm.forward(&x, &narrow)?;
            layer.attention.qkv.forward(&narrow, Then::Keep, &qkv)?;
            self.kernels.attention(&qkv, self.heads, &narrow)?;
            layer.attention.out.forward(&narrow, Then::Add, &x)?;
            layer.feed_forward.forward(&x, &narrow, &inner)?;
        }
        self.norm.forward(&x, &narrow)?;
        Ok(narrow)
    }
}

/// A convolution of three taps, its weight laid out tap after tap.
fn convolution(
    weights: VarBuilder<'_>,
    input: usize,
    output: usize,
    kernels: &Arc<dyn Kernels>,
) -> Result<Linear> {
    let weight = weights.get((output, input, 3), "weight")?.transpose(1, 2)?.reshape((output, 3 * input))?;
    Linear::new(weight, weights.get(output, "bias")?, kernels.clone())
}
