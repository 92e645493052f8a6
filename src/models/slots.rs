//! The number of window and sequence slots: as many as pay off and as fit into memory.

use super::Capacity;
use crate::device::SelectedDevice;
use crate::whisper::WhisperConfig;

/// More gain little on a CPU: the weights are read once for all windows, but the cross-attention cache of each window
/// is read for it alone.
const MAX_ON_CPU: usize = 8;
const MAX_ON_ACCELERATOR: usize = 64;
/// The divisor of the free memory that caches may take: work buffers and other programs need the rest.
const FREE_MEMORY_DIVISOR: u64 = 2;

/// Requested slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRequest {
    /// Window slots; chosen by the device and its memory if not given.
    pub windows: Option<usize>,
    /// The most sequences that one window may need at a time.
    pub candidates: usize,
    /// Sequences that every window needs.
    pub beams: usize,
}

impl SlotRequest {
    /// Resolves the request, given the free memory of the device, if that is known.
    pub fn capacity(self, config: &WhisperConfig, free: Option<u64>, device: &SelectedDevice) -> Capacity {
        let windows = self.windows.unwrap_or_else(|| {
            let max = if device.is_accelerator() { MAX_ON_ACCELERATOR } else { MAX_ON_CPU };
            let each = bytes_per_window(config, self.beams, device.formats.cache.size_in_bytes()).max(1);
            let fitting = free.map_or(u64::MAX, |free| free / FREE_MEMORY_DIVISOR) / each;
            (fitting as usize).clamp(1, max)
        });
        // One sequence for each window, and the further ones of a window that samples several candidates.
        let sampling = windows + self.candidates.saturating_sub(1);
        Capacity { windows, sequences: sampling.max(windows * self.beams) }
    }
}

/// Returns the size of the KV caches of a window and of its sequences, in numbers of `number` bytes.
fn bytes_per_window(config: &WhisperConfig, beams: usize, number: usize) -> u64 {
    let entries = config.max_source_positions + beams * config.max_target_positions;
    (config.decoder_layers * entries * config.d_model * 2 * number) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(size: &str, windows: Option<usize>, free: Option<u64>) -> Capacity {
        let config = WhisperConfig::published(size).unwrap();
        SlotRequest { windows, candidates: 5, beams: 1 }.capacity(&config, free, &SelectedDevice::cpu())
    }

    #[test]
    fn memory_limits_only_a_chosen_number_of_windows() {
        let gib = 1 << 30;
        assert_eq!(capacity("tiny", None, None), Capacity { windows: 8, sequences: 12 });
        assert_eq!(capacity("tiny", None, Some(4 * gib)).windows, 8);
        // 32 layers, 1948 entries of 1280 keys and values: 638 MB each.
        assert_eq!(capacity("large-v3", None, Some(8 * gib)).windows, 6);
        assert_eq!(capacity("large-v3", None, Some(gib / 2)).windows, 1);
        assert_eq!(capacity("large-v3", Some(12), Some(gib)).windows, 12);
    }

    #[test]
    fn every_window_has_slots_for_its_beams() {
        let config = WhisperConfig::published("tiny").unwrap();
        let slots = SlotRequest { windows: Some(8), candidates: 5, beams: 5 };
        assert_eq!(
            slots.capacity(&config, None, &SelectedDevice::cpu()),
            Capacity { windows: 8, sequences: 40 }
        );
        let slots = SlotRequest { windows: Some(1), candidates: 7, beams: 5 };
        assert_eq!(
            slots.capacity(&config, None, &SelectedDevice::cpu()),
            Capacity { windows: 1, sequences: 7 }
        );
    }
}
