//! How much memory is used and left, on the host and on the device; and giving back what was freed but is kept for
//! later use, by the allocator and by the device's driver.

#![expect(unsafe_code, reason = "calls into the allocators and CUDA's driver")]

#[cfg(feature = "cuda")]
mod cuda;
mod host;
#[cfg(feature = "metal")]
mod metal;

use std::num::NonZeroUsize;

use candle_core::Device;

use crate::error::{Error, Result};

#[cfg(feature = "cuda")]
pub(super) use cuda::keep_freed;
pub use host::{SwapUsage, free_disk, purge, swap};

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUsage {
    /// What this process holds.
    pub current: u64,
    /// The most that it ever held; on Metal, that was ever measured.
    pub peak: u64,
    /// What can still be had.
    pub free: u64,
    pub total: u64,
}

/// What CUDA's allocator has taken from the device, in bytes. What it has reserved and nobody uses, it keeps for the
/// next who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolUsage {
    pub reserved: u64,
    pub reserved_peak: u64,
    pub used: u64,
    pub used_peak: u64,
}

/// When freed memory is returned to the device and to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleasePolicy {
    /// After every so many chunks.
    Every(NonZeroUsize),
    Never,
}

impl Default for ReleasePolicy {
    fn default() -> Self {
        ReleasePolicy::Every(NonZeroUsize::MIN)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStats {
    pub host: MemoryUsage,
    /// None where the device computes in the host's memory.
    pub device: Option<MemoryUsage>,
    /// On CUDA, what `device` is made of.
    pub pool: Option<PoolUsage>,
}

impl MemoryStats {
    pub fn measure(device: &Device) -> Result<Self> {
        let measured = measure_device(device);
        let (device, pool) =
            measured.map_err(|error| Error::compute("measuring the device's memory", error))?;
        Ok(Self { host: host::usage(), device, pool })
    }
}

/// What [`release`] gave back, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReleasedMemory {
    pub host: u64,
    pub device: u64,
}

/// What a device's pool may keep: less than a piece that it takes from the system is not worth waiting for the device,
/// which is at work on other chunks.
const NOT_WORTH_A_WAIT: u64 = 32 << 20;

/// Between chunks: as [`release`], but waits for a device only if its pool keeps something worth it.
pub fn release_between_chunks(device: &Device) -> Result<ReleasedMemory> {
    let measured = measure_device(device);
    let (_, pool) = measured.map_err(|error| Error::compute("measuring the device's memory", error))?;
    match pool {
        Some(pool) if pool.reserved.saturating_sub(pool.used) < NOT_WORTH_A_WAIT => release(&Device::Cpu),
        _ => release(device),
    }
}

/// Waits until the device has done its work, then gives back what was freed: drop first what is to go.
pub fn release(device: &Device) -> Result<ReleasedMemory> {
    let device =
        device_released(device).map_err(|error| Error::compute("releasing the device's memory", error))?;
    let before = host::resident().current;
    purge();
    Ok(ReleasedMemory { host: before.saturating_sub(host::resident().current), device })
}

/// Whether a failure is for want of memory, by the driver's code rather than by its words.
pub fn is_exhausted(error: &candle_core::Error) -> bool {
    use candle_core::Error as E;
    match error {
        E::WithBacktrace { inner, .. } | E::Context { inner, .. } | E::WithPath { inner, .. } => {
            is_exhausted(inner)
        }
        #[cfg(feature = "cuda")]
        E::Cuda(cause) => cuda::is_exhausted(&**cause),
        _ => false,
    }
}

fn device_released(device: &Device) -> candle_core::Result<u64> {
    let held = || candle_core::Result::Ok(measure_device(device)?.0.map_or(0, |usage| usage.current));
    let before = held()?;
    release_device(device)?;
    Ok(before.saturating_sub(held()?))
}

fn measure_device(device: &Device) -> candle_core::Result<(Option<MemoryUsage>, Option<PoolUsage>)> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::measure(device).map(|(usage, pool)| (Some(usage), Some(pool))),
        #[cfg(feature = "metal")]
        Device::Metal(device) => Ok((Some(metal::measure(device)), None)),
        // The CPU, and what this program was not compiled for.
        _ => Ok((None, None)),
    }
}

fn release_device(device: &Device) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::release(device),
        // On Metal this drops candle's unused buffers.
        device => device.synchronize(),
    }
}

#[cfg(test)]
mod tests;
