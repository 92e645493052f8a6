//! Compute devices: their selection, their memory, and the kernels that the network runs on them.

pub mod cpu;
pub mod cuda;
mod formats;
pub mod inventory;
pub mod kernels;
pub mod memory;
pub mod reference;
pub mod sampling;
mod select;

use std::sync::Arc;

use candle_core::{Device, Result};

pub use formats::{MatrixFormat, NumberFormats, Precision};
pub use kernels::Kernels;
pub use select::{
    AdditionalDevices, DeviceList, DeviceRequest, SelectedDevice, compiled_backends, cuda_device_count,
    select, select_additional,
};

/// The epsilon of every layer normalisation in Whisper.
pub const LAYER_NORM_EPS: f32 = 1e-5;

/// Returns the fastest kernels for a device.
pub fn kernels_for(device: &Device) -> Result<Arc<dyn Kernels>> {
    match device {
        Device::Cpu => Ok(Arc::new(cpu::Cpu::new())),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => Ok(Arc::new(cuda::Cuda::on_gpu(device)?)),
        _ => Ok(Arc::new(reference::Reference::on(device))),
    }
}
