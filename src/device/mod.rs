//! Where the numbers are computed: choosing a device, and the arithmetic on it.

pub mod cpu;
pub mod kernels;
pub mod plain;
mod select;

pub use kernels::Kernels;
pub use select::{DeviceRequest, Selected, compiled, select};

/// The epsilon of every layer normalisation in Whisper.
pub const LAYER_NORM_EPS: f32 = 1e-5;
