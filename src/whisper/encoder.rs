//! The encoder: log-mel windows to the representation that the decoder attends to.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::config::WhisperConfig;
use super::layers::{FeedForward, LayerNorm, Linear, SelfAttention};
use super::loader::LayerLoader;
use super::workspace::Workspace;
use crate::device::Kernels;
use crate::device::kernels::Epilogue;

#[derive(Debug)]
pub struct AudioEncoder {
    conv1: Linear,
    conv2: Linear,
    positions: Tensor,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    bins: usize,
    heads: usize,
    /// The width of the inner layer of a feed-forward.
    inner: usize,
    kernels: Arc<dyn Kernels>,
}

#[derive(Debug)]
struct EncoderLayer {
    attention: SelfAttention,
    feed_forward: FeedForward,
}

impl AudioEncoder {
    pub(super) fn new(config: &WhisperConfig, loader: &LayerLoader<'_>) -> Result<Self> {
        let width = config.d_model;
        let layer = |index: usize| {
            let layer = loader.pp("layers").pp(index);
            Ok(EncoderLayer {
                attention: SelfAttention::load(&layer, width)?,
                feed_forward: FeedForward::load(&layer, width, config.encoder_ffn_dim)?,
            })
        };
        Ok(AudioEncoder {
            conv1: loader.pp("conv1").convolution(config.num_mel_bins, width)?,
            conv2: loader.pp("conv2").convolution(width, width)?,
            positions: loader.tensor((config.max_source_positions, width), "embed_positions.weight")?,
            layers: (0..config.encoder_layers).map(layer).collect::<Result<_>>()?,
            norm: loader.pp("layer_norm").layer_norm(width)?,
            bins: config.num_mel_bins,
            heads: config.encoder_attention_heads,
            inner: config.encoder_ffn_dim,
            kernels: Arc::clone(loader.kernels()),
        })
    }

    /// Encodes windows of `[bins, frames]` to `[windows, frames / 2, width]`, in `workspace.normed`.
    pub fn forward(&self, mel: &[&[f32]], workspace: &mut Workspace) -> Result<Tensor> {
        let (rows, width) = self.positions.dims2()?;
        let (windows, frames) = (mel.len(), 2 * rows);
        // The largest views first, so that no buffer is reallocated after another view of it was taken.
        workspace.wide.view((windows, rows, self.inner.max(3 * width)))?;
        workspace.normed.view(windows * (rows * width).max(frames * self.bins))?;
        let mel_bins = workspace.mel.view((windows, self.bins, frames))?;
        let mel_frames = workspace.normed.view((windows, frames, self.bins))?;
        let convolved = workspace.wide.view((windows, frames, width))?;
        let x = workspace.hidden.view((windows, rows, width))?;
        let normed = workspace.normed.view((windows, rows, width))?;
        let qkv = workspace.wide.view((windows, rows, 3 * width))?;
        let inner = workspace.wide.view((windows, rows, self.inner))?;
        // New buffers and the weights are written through the main queue.
        self.kernels.wait_for_main_queue()?;
        self.kernels.write(mel, &mel_bins)?;
        self.kernels.transpose(&mel_bins, &mel_frames)?;
        self.conv1.convolve(&mel_frames, 1, &convolved)?;
        self.conv2.convolve(&convolved, 2, &x)?;
        self.kernels.add(&self.positions, &x)?;
        for layer in &self.layers {
            layer.attention.norm.forward(&x, &normed)?;
            layer.attention.qkv.forward(&normed, Epilogue::Store, &qkv)?;
            self.kernels.attention(&qkv, self.heads, &normed)?;
            layer.attention.out.forward(&normed, Epilogue::Add, &x)?;
            layer.feed_forward.forward(&x, &normed, &inner)?;
        }
        self.norm.forward(&x, &normed)?;
        Ok(normed)
    }
}
