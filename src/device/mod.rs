//! Where the numbers are computed: choosing a device, and the arithmetic on it.

pub mod cpu;
pub mod cuda;
pub mod inventory;
pub mod kernels;
pub mod memory;
pub mod reference;
pub mod sampling;
mod select;

use std::sync::Arc;

use candle_core::{Device, Result};

pub use kernels::Kernels;
pub use select::{
    Beside, DeviceRequest, Devices, Precision, Selected, compiled, count, select, select_beside,
};

/// The epsilon of every layer normalisation in Whisper.
pub const LAYER_NORM_EPS: f32 = 1e-5;

/// The fastest kernels there are for a device.
pub fn kernels_for(device: &Device) -> Result<Arc<dyn Kernels>> {
    match device {
        Device::Cpu => Ok(Arc::new(cpu::Cpu)),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Ok(Arc::new(cuda::Cuda::on_gpu(device)?)),
        _ => Ok(Arc::new(reference::Plain::on(device))),
    }
}
