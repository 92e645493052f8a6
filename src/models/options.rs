//! How a run loads and keeps its models.

use super::pool::PoolPolicy;
use crate::device::Precision;
use crate::device::memory::ReleasePolicy;

#[derive(Debug, Clone, Copy, Default)]
pub struct ModelOptions {
    pub policy: PoolPolicy,
    /// Windows decoded at a time; if none, as many as suit the device.
    pub batch_size: Option<usize>,
    pub release: ReleasePolicy,
    pub precision: Precision,
    /// Bytes that all loaded models together may take on a device.
    pub max_memory: Option<u64>,
}
