//! The two small layers that everything else is made of.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::device::Kernels;
use crate::device::kernels::{Matrix, Then};

#[derive(Debug)]
pub struct Linear {
    weight: Matrix,
    bias: Tensor,
    kernels: Arc<dyn Kernels>,
}

impl Linear {
    pub fn new(weight: Tensor, bias: Tensor, kernels: Arc<dyn Kernels>) -> Result<Self> {
        Ok(Linear { weight: kernels.matrix(weight)?, bias: kernels.tensor(bias)?, kernels })
    }

    pub fn load(
        weights: VarBuilder<'_>,
        input: usize,
        output: usize,
        kernels: Arc<dyn Kernels>,
    ) -> Result<Self> {
        Self::new(weights.get((output, input), "weight")?, weights.get(output, "bias")?, kernels)
    }

    pub fn forward(&self, x: &Tensor, then: Then, y: &Tensor) -> Result<()> {
        self.kernels.linear(x, &self.weight, Some(&self.bias), then, y)
    }

    /// The layer as a convolution of three taps, with the GELU behind it.
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
    pub fn load(weights: VarBuilder<'_>, width: usize, kernels: Arc<dyn Kernels>) -> Result<Self> {
        let part = |name| kernels.tensor(weights.get(width, name)?);
        Ok(LayerNorm { weight: part("weight")?, bias: part("bias")?, kernels })
    }

    pub fn forward(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        self.kernels.layer_norm(x, &self.weight, &self.bias, y)
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

    /// Changes `x`; `normed` (like `x`) and `inner` are room to compute in.
    pub fn forward(&self, x: &Tensor, normed: &Tensor, inner: &Tensor) -> Result<()> {
        self.norm.forward(x, normed)?;
        self.widen.forward(normed, Then::Gelu, inner)?;
        self.narrow.forward(inner, Then::Add, x)
    }
}
