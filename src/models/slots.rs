//! How many windows to decode side by side: as many as pay and as memory has room for.

use super::Capacity;
use crate::device::SelectedDevice;
use crate::whisper::WhisperConfig;

/// More than this gains little on a CPU: the weights are read once for all of them, but what each has heard is
/// read for each.
const MOST_ON_CPU: usize = 8;
const MOST_ON_ACCELERATOR: usize = 64;
/// Of the free memory, so much is taken at most: work buffers and others need the rest.
const SHARE: u64 = 2;

/// What to make room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Windows side by side; chosen if not given.
    pub windows: Option<usize>,
    /// Sequences that one window may need at a time.
    pub candidates: usize,
    /// Sequences that each window needs.
    pub beams: usize,
}

impl Slots {
    /// `free` is the memory of the device that nobody uses, if that is known.
    pub fn capacity(self, config: &WhisperConfig, free: Option<u64>, device: &SelectedDevice) -> Capacity {
        let windows = self.windows.unwrap_or_else(|| {
            let most = if device.is_accelerator() { MOST_ON_ACCELERATOR } else { MOST_ON_CPU };
            let each = bytes_per_window(config, self.beams, device.formats.cache.size_in_bytes()).max(1);
            let room = free.map_or(u64::MAX, |free| free / SHARE) / each;
            (room as usize).clamp(1, most)
        });
        // What every window needs, and beside them enough for one that tries several candidates.
        let beside = windows + self.candidates.saturating_sub(1);
        Capacity { windows, sequences: beside.max(windows * self.beams) }
    }
}

/// Keys and values of what a window heard and of what it says, in numbers of so many bytes.
fn bytes_per_window(config: &WhisperConfig, beams: usize, number: usize) -> u64 {
    let entries = config.max_source_positions + beams * config.max_target_positions;
    (config.decoder_layers * entries * config.d_model * 2 * number) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(size: &str, windows: Option<usize>, free: Option<u64>) -> Capacity {
        let config = WhisperConfig::published(size).unwrap();
        Slots { windows, candidates: 5, beams: 1 }.capacity(&config, free, &SelectedDevice::cpu())
    }

    #[test]
    fn memory_bounds_what_is_chosen_but_not_what_is_asked_for() {
        let gib = 1 << 30;
        assert_eq!(capacity("tiny", None, None), Capacity { windows: 8, sequences: 12 });
        assert_eq!(capacity("tiny", None, Some(4 * gib)).windows, 8);
        // 32 layers, 1948 entries of 1280 keys and values: 638 MB each.
        assert_eq!(capacity("large-v3", None, Some(8 * gib)).windows, 6);
        assert_eq!(capacity("large-v3", None, Some(gib / 2)).windows, 1);
        assert_eq!(capacity("large-v3", Some(12), Some(gib)).windows, 12);
    }

    #[test]
    fn every_window_has_room_for_its_beams() {
        let config = WhisperConfig::published("tiny").unwrap();
        let slots = Slots { windows: Some(8), candidates: 5, beams: 5 };
        assert_eq!(
            slots.capacity(&config, None, &SelectedDevice::cpu()),
            Capacity { windows: 8, sequences: 40 }
        );
        let slots = Slots { windows: Some(1), candidates: 7, beams: 5 };
        assert_eq!(
            slots.capacity(&config, None, &SelectedDevice::cpu()),
            Capacity { windows: 1, sequences: 7 }
        );
    }
}
