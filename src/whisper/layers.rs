//! The layers that the encoder and the decoder are made of.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::loader::LayerLoader;
use crate::device::Kernels;
use crate::device::kernels::{Epilogue, Matrix};

#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Tensor,
    kernels: Arc<dyn Kernels>,
}

impl Linear {
    pub fn new(weight: Matrix, bias: Tensor, kernels: Arc<dyn Kernels>) -> Self {
        Linear { weight, bias, kernels }
    }

    pub fn forward(&self, x: &Tensor, epilogue: Epilogue, y: &Tensor) -> Result<()> {
        self.kernels.linear(x, &self.weight, Some(&self.bias), epilogue, y)
    }

    /// Runs the layer as a convolution of three taps, followed by the GELU.
    pub fn convolve(&self, x: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        self.kernels.convolve(x, &self.weight, &self.bias, stride, y)
    }
}

#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    kernels: Arc<dyn Kernels>,
}

impl LayerNorm {
    pub fn new(weight: Tensor, bias: Tensor, kernels: Arc<dyn Kernels>) -> Self {
        LayerNorm { weight, bias, kernels }
    }

    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        self.kernels.layer_norm(x, &self.weight, &self.bias, y)
    }
}

/// The projections of a self-attention.
#[derive(Debug)]
pub struct SelfAttention {
    pub norm: LayerNorm,
    /// To `[…, 3 × width]`: queries, keys, values.
    pub qkv: Linear,
    pub out: Linear,
}

impl SelfAttention {
    pub fn load(layer: &LayerLoader<'_>, width: usize) -> Result<Self> {
        let attention = layer.pp("self_attn");
        Ok(SelfAttention {
            norm: layer.pp("self_attn_layer_norm").layer_norm(width)?,
            qkv: attention.fused_projections(&["q_proj", "k_proj", "v_proj"], width)?,
            out: attention.pp("out_proj").linear(width, width)?,
        })
    }
}

/// The projections of the attention of the text to the audio. Keys and values are computed once per window.
#[derive(Debug)]
pub struct CrossAttention {
    pub norm: LayerNorm,
    pub query: Linear,
    /// From the encoder's output to `[…, 2 × width]`: keys, values. Runs on the encoder's kernels.
    pub key_value: Linear,
    pub out: Linear,
}

impl CrossAttention {
    pub fn load(layer: &LayerLoader<'_>, width: usize, encoder_kernels: &Arc<dyn Kernels>) -> Result<Self> {
        let attention = layer.pp("encoder_attn");
        let on_encoder = attention.with_kernels(encoder_kernels);
        Ok(CrossAttention {
            norm: layer.pp("encoder_attn_layer_norm").layer_norm(width)?,
            query: attention.pp("q_proj").linear(width, width)?,
            key_value: on_encoder.fused_projections(&["k_proj", "v_proj"], width)?,
            out: attention.pp("out_proj").linear(width, width)?,
        })
    }
}

/// The two layers after each attention, with their norm and the residual connection.
#[derive(Debug)]
pub struct FeedForward {
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    pub fn load(layer: &LayerLoader<'_>, width: usize, inner: usize) -> Result<Self> {
        Ok(FeedForward {
            norm: layer.pp("final_layer_norm").layer_norm(width)?,
            widen: layer.pp("fc1").linear(width, inner)?,
            narrow: layer.pp("fc2").linear(inner, width)?,
        })
    }

    /// Updates `x`; overwrites `normed`, of the shape of `x`, and `inner`.
    pub fn forward(&self, x: &Tensor, normed: &Tensor, inner: &Tensor) -> Result<()> {
        self.norm.forward(x, normed)?;
        self.widen.forward(normed, Epilogue::Gelu, inner)?;
        self.narrow.forward(inner, Epilogue::Add, x)
    }
}
