//! Decides whether a recording may be accepted now: is there room in the queue, memory, and disk space?

use std::time::Duration;

use super::jobs::{Jobs, QueueFull};
use super::runner::RunStatus;
use crate::device::SelectedDevice;
use crate::device::memory::{MemoryStats, SwapUsage, free_disk, swap};
use crate::plan::FreeMemory;
use crate::run::{GuardOptions, shortage};

/// Seconds after which memory or disk space may be there.
const RETRY_AFTER: u64 = 30;

/// What part of the memory that must be free for the usual model must be free for the smaller one.
const FALLBACK_SHARE: u64 = 4;

/// Returns how much memory must be free to start a job with the smaller model.
pub fn fallback_memory(guard: &GuardOptions) -> FreeMemory {
    FreeMemory { host: guard.memory / FALLBACK_SHARE, device: guard.device_memory / FALLBACK_SHARE }
}

/// Why a recording is not accepted now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The server ends.
    Draining,
    /// The queue, or the number of transfers, is at its limit.
    Busy { why: String, retry_after: u64 },
    /// A resource of the machine is short.
    Short { why: String, retry_after: u64 },
}

impl Refusal {
    /// Says what is short.
    pub fn short(why: String) -> Self {
        Refusal::Short { why, retry_after: RETRY_AFTER }
    }

    /// Returns the reason as metrics name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Draining => "draining",
            Refusal::Busy { .. } => "busy",
            Refusal::Short { .. } => "short",
        }
    }
}

impl From<QueueFull> for Refusal {
    fn from(QueueFull { retry_after }: QueueFull) -> Self {
        Refusal::Busy { why: "the queue is full".into(), retry_after }
    }
}

/// What the machine has left.
#[derive(Debug, Clone)]
pub struct Resources {
    pub memory: Option<MemoryStats>,
    pub swap: SwapUsage,
    /// Free bytes of the disk with the state folder, if known.
    pub disk: Option<u64>,
}

/// Measures and compares with the limits.
pub struct Pressure {
    guard: GuardOptions,
    device: SelectedDevice,
}

impl Pressure {
    pub fn new(guard: GuardOptions, device: SelectedDevice) -> Self {
        Self { guard, device }
    }

    pub fn device(&self) -> &SelectedDevice {
        &self.device
    }

    pub fn limits(&self) -> &GuardOptions {
        &self.guard
    }

    pub fn resources(&self, jobs: &Jobs) -> Resources {
        let memory = MemoryStats::measure(&self.device.device).ok();
        Resources { memory, swap: swap(), disk: free_disk(jobs.state().root()) }
    }

    /// Fails if a recording of so many bytes cannot be accepted now.
    pub fn admit(&self, jobs: &Jobs, status: &RunStatus, bytes: u64) -> Result<(), Refusal> {
        if status.is_draining() {
            return Err(Refusal::Draining);
        }
        jobs.check_queue()?;
        // What names no model can have the smaller one, which needs less.
        let limits = jobs.fallback().map(|fallback| self.guard.with_memory(fallback.free_memory));
        let limits = limits.as_ref().unwrap_or(&self.guard);
        match shortage(limits, &self.device, Some(jobs.state().root()), bytes) {
            Some((_, why)) => Err(Refusal::short(why)),
            None => Ok(()),
        }
    }

    /// Returns why memory is short for the usual model, if it is.
    pub fn memory_shortage(&self) -> Option<String> {
        shortage(&self.guard, &self.device, None, 0).map(|(_, why)| why)
    }

    /// Returns what is short for a recording of so many bytes.
    pub fn shortage(&self, jobs: &Jobs, bytes: u64) -> Option<String> {
        let found = shortage(&self.guard, &self.device, Some(jobs.state().root()), bytes);
        found.map(|(_, why)| why)
    }
}

/// How long an upload may make no progress.
pub const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
