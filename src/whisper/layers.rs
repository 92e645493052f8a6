//! The two small layers that everything else is made of.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::device::Kernels;

#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
    kernels: Arc<dyn Kernels>,
}

impl Linear {
    pub fn new(weight: Tensor, bias: Option<Tensor>, kernels: Arc<dyn Kernels>) -> Result<Self> {
        Ok(Linear { weight: weight.contiguous()?, bias, kernels })
    }

    pub fn load(
        weights: VarBuilder<'_>,
        input: usize,
        output: usize,
        kernels: Arc<dyn Kernels>,
    ) -> Result<Self> {
        Self::new(weights.get((output, input), "weight")?, Some(weights.get(output, "bias")?), kernels)
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.kernels.linear(x, &self.weight, self.bias.as_ref(), false)
    }

    /// The layer with the GELU behind it.
    pub fn forward_gelu(&self, x: &Tensor) -> Result<Tensor> {
        self.kernels.linear(x, &self.weight, self.bias.as_ref(), true)
    }
}

#[derive(Debug)]
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    kernels: Arc<dyn Kernels>,
}

impl LayerNorm {
    pub fn load(weights: VarBuilder<'_>, width: usize, kernels: Arc<dyn Kernels>) -> Result<Self> {
        Ok(LayerNorm { weight: weights.get(width, "weight")?, bias: weights.get(width, "bias")?, kernels })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.kernels.layer_norm(x, &self.weight, &self.bias)
    }
}

/// The two layers after each attention, with the residual connection.
#[derive(Debug)]
pub struct FeedForward {
    norm: LayerNorm,
    widen: Linear,
    narrow: Linear,
}

impl FeedForward {
    pub fn load(
        weights: &VarBuilder<'_>,
        width: usize,
        inner: usize,
        kernels: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        Ok(FeedForward {
            norm: LayerNorm::load(weights.pp("final_layer_norm"), width, kernels.clone())?,
            widen: Linear::load(weights.pp("fc1"), width, inner, kernels.clone())?,
            narrow: Linear::load(weights.pp("fc2"), inner, width, kernels.clone())?,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x + self.narrow.forward(&self.widen.forward_gelu(&self.norm.forward(x)?)?)?
    }
}
