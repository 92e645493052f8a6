//! Limits of downloads, so that no server can hold one up for ever or fill the disk with a file of a few kilobytes.

use std::time::{Duration, Instant};

use crate::models::checkpoint::MAX_SMALL_FILE;

/// The largest file of weights that is downloaded, ten times the largest published one.
const MAX_WEIGHTS: u64 = 64 << 30;

/// How long a server may take, and how much it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadLimits {
    /// The time in which [`bytes`](Self::bytes) must arrive while a file is transferred.
    pub period: Duration,
    pub bytes: u64,
    /// The time in which the headers of a response must be complete.
    pub response: Duration,
    /// The pause before the second attempt; each further one is twice as long.
    pub pause: Duration,
    /// The largest file that is not one of weights.
    pub small_file: u64,
}

impl Default for DownloadLimits {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(30),
            // A kilobyte a second: slower than any connection that a model could be downloaded over.
            bytes: 30 << 10,
            response: Duration::from_secs(30),
            pause: Duration::from_millis(250),
            small_file: MAX_SMALL_FILE,
        }
    }
}

impl DownloadLimits {
    /// Returns the largest size of a file with this name.
    pub(super) fn size(&self, file: &str) -> u64 {
        let is_weights = [".safetensors", ".bin"].iter().any(|end| file.ends_with(end));
        if is_weights { MAX_WEIGHTS } else { self.small_file }
    }
}

/// Measures the progress of one transfer.
pub(super) struct SpeedCheck {
    limits: DownloadLimits,
    since: Instant,
    bytes: u64,
}

impl SpeedCheck {
    pub(super) fn start(limits: &DownloadLimits) -> Self {
        Self { limits: *limits, since: Instant::now(), bytes: 0 }
    }

    /// Counts bytes that have arrived. The error says how few they were in a period.
    pub(super) fn add(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        self.check(self.since.elapsed())
    }

    fn check(&mut self, elapsed: Duration) -> Result<(), String> {
        if elapsed < self.limits.period {
            return Ok(());
        }
        if self.bytes < self.limits.bytes {
            let seconds = elapsed.as_secs_f64();
            return Err(format!("the server is too slow: {} bytes in {seconds:.1} s", self.bytes));
        }
        *self = Self::start(&self.limits);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_bytes_in_a_period_are_an_error() {
        let limits = DownloadLimits::default();
        let almost = limits.period - Duration::from_millis(1);
        let check = |bytes, elapsed| SpeedCheck { bytes, ..SpeedCheck::start(&limits) }.check(elapsed);
        assert_eq!(check(0, almost), Ok(()));
        assert_eq!(check(limits.bytes, limits.period), Ok(()));
        let slow = "the server is too slow: 30719 bytes in 30.0 s";
        assert_eq!(check(limits.bytes - 1, limits.period), Err(slow.to_owned()));
    }

    #[test]
    fn each_period_counts_anew() {
        let limits = DownloadLimits::default();
        let mut speed = SpeedCheck { bytes: 1 << 40, ..SpeedCheck::start(&limits) };
        assert_eq!(speed.check(limits.period), Ok(()));
        assert!(speed.check(limits.period).is_err());
    }

    #[test]
    fn only_weights_may_be_large() {
        let limits = DownloadLimits::default();
        for weights in
            ["model.safetensors", "model-00001-of-00002.safetensors", "model.bin", "pytorch_model.bin"]
        {
            assert_eq!(limits.size(weights), MAX_WEIGHTS, "{weights}");
        }
        for small in ["config.json", "tokenizer.json", "model.safetensors.index.json", "vocabulary.txt", ""] {
            assert_eq!(limits.size(small), limits.small_file, "{small}");
        }
    }
}
