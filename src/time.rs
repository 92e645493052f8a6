//! Conversions between samples, frames, ticks and seconds: the only ones in the crate.
//!
//! Seconds are `f64` and computed with the same operations in the same order as in openai/whisper, so that times are
//! bit-identical.

/// Samples per second after the audio module.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples between the starts of consecutive mel frames: 10 ms.
pub const HOP: usize = 160;
/// Mel frames in the network's input window: 30 s.
pub const WINDOW_FRAMES: usize = 3_000;
/// Samples in that window.
pub const WINDOW_SAMPLES: usize = WINDOW_FRAMES * HOP;
/// Mel frames per tick of a timestamp token (20 ms).
pub const FRAMES_PER_TICK: usize = 2;
/// Seconds per tick of a timestamp token.
pub const SECONDS_PER_TICK: f64 = 0.02;

/// Returns the number of complete mel frames in `samples`.
pub fn frames_of_samples(samples: u64) -> u64 {
    samples / HOP as u64
}

/// Returns the start time of a mel frame.
pub fn seconds_of_frames(frames: u64) -> f64 {
    (frames * HOP as u64) as f64 / f64::from(SAMPLE_RATE)
}

/// Returns the mel frame nearest to a time; the first one for times before 0.
pub fn frame_at(seconds: f64) -> usize {
    (seconds.max(0.0) * f64::from(SAMPLE_RATE) / HOP as f64).round() as usize
}

/// Returns the duration of `samples`.
pub fn seconds_of_samples(samples: u64) -> f64 {
    samples as f64 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_is_thirty_seconds() {
        assert_eq!(seconds_of_frames(WINDOW_FRAMES as u64), 30.0);
        assert_eq!(seconds_of_samples(WINDOW_SAMPLES as u64), 30.0);
        assert_eq!(frames_of_samples(WINDOW_SAMPLES as u64 - 1), WINDOW_FRAMES as u64 - 1);
    }
}
