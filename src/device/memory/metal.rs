//! Metal: memory that the processor and the GPU share. Its driver tells what is allocated and what it recommends.

use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::MetalDevice;

use super::MemoryUsage;

/// The driver does not remember it.
static PEAK: AtomicU64 = AtomicU64::new(0);

pub(super) fn measure(device: &MetalDevice) -> MemoryUsage {
    let current = device.metal_device().current_allocated_size() as u64;
    let total = device.metal_device().recommended_max_working_set_size() as u64;
    let peak = PEAK.fetch_max(current, Ordering::Relaxed).max(current);
    MemoryUsage { current, peak, free: total.saturating_sub(current), total }
}
