//! The number formats that a model is stored and computed in on a device.

use std::str::FromStr;

use candle_core::DType;

/// The number format that was requested with `--dtype`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The one that suits the device best.
    #[default]
    Auto,
    F32,
    F16,
    BF16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" | "float32" => Ok(Self::F32),
            "f16" | "float16" => Ok(Self::F16),
            "bf16" | "bfloat16" => Ok(Self::BF16),
            _ => Err("must be one of auto, f32, f16, bf16".into()),
        }
    }
}

/// The number formats of a loaded model. Logits, attention weights and mel windows are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberFormats {
    /// Weight matrices.
    pub weights: DType,
    /// Activations, and the weights that are added to or multiplied with them elementwise: biases, norms, positions.
    pub activations: DType,
    /// Cached keys and values.
    pub cache: DType,
}

impl NumberFormats {
    /// Returns the same format for everything.
    pub const fn uniform(dtype: DType) -> Self {
        NumberFormats { weights: dtype, activations: dtype, cache: dtype }
    }
}
