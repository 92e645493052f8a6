//! The number formats that a model is stored and computed in on a device.

use std::str::FromStr;

use candle_core::{DType, Result as CandleResult, bail};

/// The number format that was requested with `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The one that suits the device best.
    #[default]
    Auto,
    F32,
    F16,
    BF16,
    /// 8-bit integers, on the CPU.
    Int8,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" | "float32" => Ok(Self::F32),
            "f16" | "float16" => Ok(Self::F16),
            "bf16" | "bfloat16" => Ok(Self::BF16),
            "int8" | "i8" => Ok(Self::Int8),
            _ => Err("must be one of auto, f32, f16, bf16, int8".into()),
        }
    }
}

/// The number format of a weight matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatrixFormat {
    Float(DType),
    /// 8-bit integers with a scale for each output; what they are multiplied with is quantized too.
    Int8,
}

impl MatrixFormat {
    /// Returns the floating-point format, for devices that have no other.
    pub fn float(self) -> CandleResult<DType> {
        match self {
            MatrixFormat::Float(dtype) => Ok(dtype),
            MatrixFormat::Int8 => bail!("this device does not compute in 8-bit integers"),
        }
    }

    /// Returns the format for the weights of a convolution, which are few.
    pub fn of_convolution(self) -> Self {
        match self {
            MatrixFormat::Int8 => MatrixFormat::Float(DType::F32),
            float => float,
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            MatrixFormat::Float(dtype) => dtype.size_in_bytes(),
            MatrixFormat::Int8 => 1,
        }
    }

    /// The name that `--dtype` takes.
    pub fn name(self) -> &'static str {
        match self {
            MatrixFormat::Float(dtype) => dtype.as_str(),
            MatrixFormat::Int8 => "int8",
        }
    }
}

impl From<DType> for MatrixFormat {
    fn from(dtype: DType) -> Self {
        MatrixFormat::Float(dtype)
    }
}

/// The number formats of a loaded model. Logits, attention weights and mel windows are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberFormats {
    pub weights: MatrixFormat,
    /// Activations, and the weights that are added to or multiplied with them elementwise: biases, norms, positions.
    pub activations: DType,
    /// Cached keys and values.
    pub cache: DType,
}

impl NumberFormats {
    /// Returns the same format for everything.
    pub const fn uniform(dtype: DType) -> Self {
        NumberFormats { weights: MatrixFormat::Float(dtype), activations: dtype, cache: dtype }
    }

    /// Returns the formats of the CPU, which computes in f32 whatever the weights are stored in, or in 8-bit integers.
    /// With those, the rounding of a cache in f16 is not noticeable.
    pub const fn cpu(weights: MatrixFormat) -> Self {
        let cache = match weights {
            MatrixFormat::Float(dtype) => dtype,
            MatrixFormat::Int8 => DType::F16,
        };
        NumberFormats { weights, activations: DType::F32, cache }
    }
}
