//! The weights of an attention, fused: one product gives queries, keys and values together.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::layers::{LayerNorm, Linear};
use crate::device::Kernels;

/// Attention of a text or audio to itself.
#[derive(Debug)]
pub struct SelfAttention {
    pub norm: LayerNorm,
    /// To `[…, 3 × width]`: queries, keys, values.
    pub qkv: Linear,
    pub out: Linear,
}

impl SelfAttention {
    pub fn load(weights: &VarBuilder<'_>, width: usize, kernels: &Arc<dyn Kernels>) -> Result<Self> {
        let part = weights.pp("self_attn");
        Ok(SelfAttention {
            norm: LayerNorm::load(weights.pp("self_attn_layer_norm"), width, kernels.clone())?,
            qkv: fused(&part, &["q_proj", "k_proj", "v_proj"], width, kernels)?,
            out: Linear::load(part.pp("out_proj"), width, width, kernels.clone())?,
        })
    }
}

/// Attention of the text to the audio. Keys and values are computed once per window.
#[derive(Debug)]
pub struct CrossAttention {
    pub norm: LayerNorm,
    pub query: Linear,
    /// Of the encoder's output, to `[…, 2 × width]`: keys, values.
    pub key_value: Linear,
    pub out: Linear,
}

impl CrossAttention {
    pub fn load(
        weights: &VarBuilder<'_>,
        width: usize,
        kernels: &Arc<dyn Kernels>,
        hearing: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let part = weights.pp("encoder_attn");
        Ok(CrossAttention {
            norm: LayerNorm::load(weights.pp("encoder_attn_layer_norm"), width, kernels.clone())?,
            query: fused(&part, &["q_proj"], width, kernels)?,
            key_value: fused(&part, &["k_proj", "v_proj"], width, hearing)?,
            out: Linear::load(part.pp("out_proj"), width, width, kernels.clone())?,
        })
    }
}

/// One layer of several; the keys have no bias in Whisper.
fn fused(
    weights: &VarBuilder<'_>,
    names: &[&str],
    width: usize,
    kernels: &Arc<dyn Kernels>,
) -> Result<Linear> {
    let mut matrices = Vec::with_capacity(names.len());
    let mut biases = Vec::with_capacity(names.len());
    for name in names {
        let part = weights.pp(name);
        matrices.push(part.get((width, width), "weight")?);
        biases.push(match *name {
            "k_proj" => Tensor::zeros(width, weights.dtype(), weights.device())?,
            _ => part.get(width, "bias")?,
        });
    }
    Linear::new(Tensor::cat(&matrices, 0)?, Tensor::cat(&biases, 0)?, kernels.clone())
}
