//! Where the numbers are computed: choosing a device, and the arithmetic on it.

pub mod cpu;
pub mod cuda;
pub mod kernels;
pub mod memory;
pub mod plain;
mod select;
pub mod survey;

use std::sync::Arc;

use candle_core::Device;

pub use kernels::Kernels;
pub use select::{Beside, DeviceRequest, Devices, Selected, compiled, count, select, select_beside};

/// The epsilon of every layer normalisation in Whisper.
pub const LAYER_NORM_EPS: f32 = 1e-5;

/// The fastest kernels there are for a device.
pub fn kernels_for(device: &Device) -> Arc<dyn Kernels> {
    if device.is_cpu() { Arc::new(cpu::Cpu) } else { Arc::new(plain::Plain) }
}
