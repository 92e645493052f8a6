//! Memory use of the host and of the device, and the release of freed memory that the allocator or the device's driver
//! keeps for reuse.

#![expect(unsafe_code, reason = "calls into the allocators and CUDA's driver")]

#[cfg(feature = "cuda")]
mod cuda;
mod exhausted;
mod host;
#[cfg(feature = "metal")]
mod metal;

use std::num::NonZeroUsize;

use candle_core::Device;

use crate::error::{Error, Result};

#[cfg(feature = "cuda")]
pub use cuda::keep_freed;
pub use exhausted::{NotingAllocator, exit_when_exhausted};
pub use host::{SwapUsage, free_disk, limit_arenas, purge, swap};

/// Memory use in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUsage {
    /// Held by this process.
    pub current: u64,
    /// The most that the process ever held; on Metal, the most that was ever measured.
    pub peak: u64,
    /// Available to be allocated.
    pub free: u64,
    pub total: u64,
}

/// The memory that CUDA's allocator has taken from the device, in bytes. It keeps what is reserved and unused for later
/// allocations.
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
    /// `None` if the device computes in the host's memory.
    pub device: Option<MemoryUsage>,
    /// On CUDA, the pool that `device` is the sum of.
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

/// The memory that [`release`] returned to the system and to the device, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReleasedMemory {
    pub host: u64,
    pub device: u64,
}

/// Unused bytes up to which a device's pool is not trimmed between chunks: trimming waits for the device, which is busy
/// with other chunks, and the pool takes memory from the system in pieces of this size.
const MIN_TRIMMED: u64 = 32 << 20;

/// Releases memory between chunks: like [`release`], but waits for the device only if its pool keeps enough unused memory.
pub fn release_between_chunks(device: &Device) -> Result<ReleasedMemory> {
    let measured = measure_device(device);
    let (_, pool) = measured.map_err(|error| Error::compute("measuring the device's memory", error))?;
    match pool {
        Some(pool) if pool.reserved.saturating_sub(pool.used) < MIN_TRIMMED => release(&Device::Cpu),
        _ => release(device),
    }
}

/// Waits for the device, then returns freed memory to it and to the system. Drop the tensors to release first.
pub fn release(device: &Device) -> Result<ReleasedMemory> {
    let device =
        release_on_device(device).map_err(|error| Error::compute("releasing the device's memory", error))?;
    let before = host::resident().current;
    purge();
    Ok(ReleasedMemory { host: before.saturating_sub(host::resident().current), device })
}

/// Returns whether an error means that memory is exhausted, by its code rather than by its message.
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

fn release_on_device(device: &Device) -> candle_core::Result<u64> {
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
        // The CPU, and devices that the program was not compiled for.
        _ => Ok((None, None)),
    }
}

fn release_device(device: &Device) -> candle_core::Result<()> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::release(device),
        // On Metal, this drops candle's unused buffers.
        device => device.synchronize(),
    }
}

#[cfg(test)]
mod tests;
