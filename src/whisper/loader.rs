//! Loads layers from a checkpoint's tensors and uploads them with the kernels that will run them.

use std::sync::Arc;

use candle_core::{DType, Result, Shape, Tensor};
use candle_nn::VarBuilder;

use super::layers::{LayerNorm, Linear};
use crate::device::kernels::Matrix;
use crate::device::{Kernels, MatrixFormat, NumberFormats};

/// A part of a checkpoint, named by the prefix of its tensors.
#[derive(Clone)]
pub struct LayerLoader<'a> {
    tensors: VarBuilder<'a>,
    formats: NumberFormats,
    kernels: Arc<dyn Kernels>,
}

impl<'a> LayerLoader<'a> {
    pub fn new(tensors: VarBuilder<'a>, formats: NumberFormats, kernels: Arc<dyn Kernels>) -> Self {
        LayerLoader { tensors: tensors.to_dtype(formats.activations), formats, kernels }
    }

    /// Returns the loader of a part of this part.
    pub fn pp(&self, name: impl ToString) -> Self {
        LayerLoader { tensors: self.tensors.pp(name), ..self.clone() }
    }

    /// Returns a loader of the same part for other kernels of the device.
    pub fn with_kernels(&self, kernels: &Arc<dyn Kernels>) -> Self {
        LayerLoader { kernels: Arc::clone(kernels), ..self.clone() }
    }

    pub fn kernels(&self) -> &Arc<dyn Kernels> {
        &self.kernels
    }

    pub fn tensor(&self, shape: impl Into<Shape>, name: &str) -> Result<Tensor> {
        self.kernels.upload_tensor(self.tensors.get(shape.into(), name)?)
    }

    /// Loads a matrix whose inputs are the outputs of a norm.
    pub fn matrix_after(&self, norm: &str, shape: (usize, usize), name: &str) -> Result<Matrix> {
        let norm = self.tensors.pp(norm);
        let (weight, bias) = (norm.get(shape.1, "weight")?.abs()?, norm.get(shape.1, "bias")?.abs()?);
        // What is normalized has a deviation of one before weight and bias.
        let magnitudes: Vec<f32> = ((weight * 3.0)? + bias)?.to_dtype(DType::F32)?.to_vec1()?;
        self.kernels.upload_matrix_for(self.tensors.get(shape, name)?, self.formats.weights, &magnitudes)
    }

    pub fn linear(&self, input: usize, output: usize) -> Result<Linear> {
        let weight = self.tensors.get((output, input), "weight")?;
        self.upload_linear(weight, self.tensors.get(output, "bias")?, self.formats.weights)
    }

    /// Loads several projections of an attention as one layer. Whisper's keys have no bias.
    pub fn fused_projections(&self, names: &[&str], width: usize) -> Result<Linear> {
        let mut weights = Vec::with_capacity(names.len());
        let mut biases = Vec::with_capacity(names.len());
        for name in names {
            let part = self.tensors.pp(name);
            weights.push(part.get((width, width), "weight")?);
            biases.push(match *name {
                "k_proj" => Tensor::zeros(width, self.formats.activations, part.device())?,
                _ => part.get(width, "bias")?,
            });
        }
        self.upload_linear(Tensor::cat(&weights, 0)?, Tensor::cat(&biases, 0)?, self.formats.weights)
    }

    /// Loads a convolution of three taps as a layer whose weight is laid out tap after tap.
    pub fn convolution(&self, input: usize, output: usize) -> Result<Linear> {
        let weight = self.tensors.get((output, input, 3), "weight")?;
        let weight = weight.transpose(1, 2)?.reshape((output, 3 * input))?;
        let format = self.formats.weights.of_convolution();
        self.upload_linear(weight, self.tensors.get(output, "bias")?, format)
    }

    pub fn layer_norm(&self, width: usize) -> Result<LayerNorm> {
        Ok(LayerNorm::new(self.tensor(width, "weight")?, self.tensor(width, "bias")?, self.kernels.clone()))
    }

    fn upload_linear(&self, weight: Tensor, bias: Tensor, format: MatrixFormat) -> Result<Linear> {
        let weight = self.kernels.upload_matrix(weight, format)?;
        Ok(Linear::new(weight, self.kernels.upload_tensor(bias)?, self.kernels.clone()))
    }
}
