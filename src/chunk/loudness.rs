//! How loud a frame is.

use crate::time::HOP;

/// Samples added side by side.
const LANES: usize = 16;
/// Samples beyond this are damage.
const LOUDEST: f32 = 1e4;

/// The sample as a number that can be computed with.
pub(super) fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-LOUDEST, LOUDEST) } else { 0.0 }
}

/// Mean power of one frame, without its constant part.
pub(super) fn power(frame: &[f32]) -> f32 {
    let mut sum = [0.0_f32; LANES];
    let mut square = [0.0_f32; LANES];
    for lanes in frame.chunks_exact(LANES) {
        for (lane, sample) in lanes.iter().map(|s| sane(*s)).enumerate() {
            sum[lane] += sample;
            square[lane] += sample * sample;
        }
    }
    let mean = sum.iter().sum::<f32>() / HOP as f32;
    (square.iter().sum::<f32>() / HOP as f32 - mean * mean).max(0.0)
}

const _: () = assert!(HOP.is_multiple_of(LANES));
