//! The weights of the two networks: those of the program, or a folder's.

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::device::cpu::{DenseLayer, LstmLayer, LstmWeights, SimdLevel};

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    #[error("not a safetensors file")]
    Format(#[from] safetensors::SafeTensorError),
    #[error("`{name}` has the shape {found:?} instead of {wanted:?}")]
    Shape { name: String, found: Vec<usize>, wanted: Vec<usize> },
    #[error("`{name}` is neither f16 nor f32")]
    Type { name: String },
    #[error("`{name}` contains a number that is not finite")]
    NotFinite { name: String },
}

pub type WeightsResult<T> = Result<T, WeightsError>;

/// A file of weights, whose tensors must have the shapes that the network expects.
pub struct Weights<'a> {
    file: SafeTensors<'a>,
    pub level: SimdLevel,
}

impl<'a> Weights<'a> {
    pub fn new(bytes: &'a [u8]) -> WeightsResult<Self> {
        Ok(Weights { file: SafeTensors::deserialize(bytes)?, level: SimdLevel::best() })
    }

    /// Returns the numbers of a tensor.
    pub fn numbers(&self, name: &str, shape: &[usize]) -> WeightsResult<Vec<f32>> {
        let tensor = self.file.tensor(name)?;
        if tensor.shape() != shape {
            let (found, wanted) = (tensor.shape().to_vec(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.into(), found, wanted });
        }
        let numbers = widened(&tensor).ok_or_else(|| WeightsError::Type { name: name.into() })?;
        match numbers.iter().all(|number| number.is_finite()) {
            true => Ok(numbers),
            false => Err(WeightsError::NotFinite { name: name.into() }),
        }
    }

    /// Returns the numbers of one that is not required.
    pub fn optional(&self, name: &str, shape: &[usize]) -> WeightsResult<Option<Vec<f32>>> {
        match self.file.names().contains(&name) {
            true => self.numbers(name, shape).map(Some),
            false => Ok(None),
        }
    }

    /// Returns a layer of `name.weight`, `[out, width]`, and `name.bias`, if there is one.
    pub fn dense(&self, name: &str, out: usize, width: usize) -> WeightsResult<DenseLayer> {
        let weight = self.numbers(&format!("{name}.weight"), &[out, width])?;
        let bias = self.optional(&format!("{name}.bias"), &[out])?;
        Ok(DenseLayer::new(&weight, width, bias, self.level))
    }

    /// Returns a convolution of `taps` steps as a layer over rows `[taps, channels]`. The file has
    /// `[out, channels, taps]`; channel `c` of a row is that of `order(c)` in the file.
    pub fn convolution(
        &self,
        name: &str,
        [out, channels, taps]: [usize; 3],
        order: impl Fn(usize) -> usize,
    ) -> WeightsResult<DenseLayer> {
        let weight = self.numbers(&format!("{name}.weight"), &[out, channels, taps])?;
        let width = channels * taps;
        let row = |row: &[f32]| -> Vec<f32> {
            (0..width).map(|i| row[order(i % channels) * taps + i / channels]).collect()
        };
        let weight: Vec<f32> = weight.chunks_exact(width).flat_map(row).collect();
        let bias = self.optional(&format!("{name}.bias"), &[out])?;
        Ok(DenseLayer::new(&weight, width, bias, self.level))
    }

    /// Returns one direction of an LSTM layer.
    pub fn lstm(
        &self,
        name: &str,
        inputs: usize,
        width: usize,
        is_backward: bool,
    ) -> WeightsResult<LstmLayer> {
        let input = self.numbers(&format!("{name}.input"), &[4 * width, inputs])?;
        let state = self.numbers(&format!("{name}.state"), &[4 * width, width])?;
        let bias = self.numbers(&format!("{name}.bias"), &[4 * width])?;
        let weights = LstmWeights { input: &input, state: &state, bias };
        Ok(LstmLayer::new(weights, is_backward, self.level))
    }
}

fn widened(tensor: &TensorView<'_>) -> Option<Vec<f32>> {
    let data = tensor.data();
    Some(match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        _ => return None,
    })
}
