//! Metal: memory that the processor and the GPU share. The driver reports what is allocated and the recommended maximum.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::MetalDevice;

use super::MemoryUsage;

/// The driver does not record a peak.
static PEAK: AtomicU64 = AtomicU64::new(0);

pub fn measure(device: &MetalDevice) -> MemoryUsage {
    let current = device.metal_device().current_allocated_size() as u64;
    let total = device.metal_device().recommended_max_working_set_size() as u64;
    let peak = PEAK.fetch_max(current, Ordering::Relaxed).max(current);
    MemoryUsage { current, peak, free: total.saturating_sub(current), total }
}
