//! Samples, frames, ticks, seconds: the only conversions between them.
//!
//! Seconds are `f64` and computed with the same operations in the same order as openai/whisper does, so
//! that times compare equal to the last bit.

/// Samples per second of everything behind the audio room.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples from one mel frame to the next: 10 ms.
pub const HOP: usize = 160;
/// Mel frames in the window that the network sees: 30 s.
pub const WINDOW_FRAMES: usize = 3_000;
/// Samples in that window.
pub const WINDOW_SAMPLES: usize = WINDOW_FRAMES * HOP;
/// Mel frames per tick of a timestamp token (20 ms).
pub const FRAMES_PER_TICK: usize = 2;
/// Seconds per tick of a timestamp token.
pub const SECONDS_PER_TICK: f64 = 0.02;

/// Mel frames that lie wholly inside `samples` samples.
pub fn frames_of_samples(samples: u64) -> u64 {
    samples / HOP as u64
}

/// The time at which a mel frame starts.
pub fn seconds_of_frames(frames: u64) -> f64 {
    (frames * HOP as u64) as f64 / f64::from(SAMPLE_RATE)
}

/// How long this many samples last.
pub fn seconds_of_samples(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_thirty_seconds() {
        assert_eq!(seconds_of_frames(WINDOW_FRAMES as u64), 30.0);
        assert_eq!(seconds_of_samples(WINDOW_SAMPLES as u64), 30.0);
        assert_eq!(frames_of_samples(WINDOW_SAMPLES as u64 - 1), WINDOW_FRAMES as u64 - 1);
    }
}
