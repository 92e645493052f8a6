//! The windows of a chunk in the layout of the network's input.

use std::array;
use std::ops::Range;

use super::scale::{SILENCE, Scale};
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;

/// Frames per step of the transposition: a few cache lines per bin.
const TILE: usize = 32;
/// Side of a square of frames and bins that is transposed in registers.
const SIDE: usize = 4;

/// The windows that the engine reads from a chunk.
pub trait Features: Send {
    /// Writes the window of `frames` frames from frame `seek` of the recording as `n_mels` rows of 3000 values,
    /// zeros after `frames`.
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()>;
}

/// All frames that the windows of one chunk may see.
pub struct ChunkFeatures {
    bins: usize,
    /// The frame of the recording that `raw` begins with.
    first: usize,
    /// Raw values, frame by frame.
    raw: Vec<f32>,
    scale: Scale,
}

impl ChunkFeatures {
    /// `loudest` is the raw value relative to which the others are scaled.
    pub fn new(bins: usize, first: usize, raw: Vec<f32>, loudest: f32) -> Self {
        Self { bins, first, raw, scale: Scale::new(loudest) }
    }

    fn end(&self) -> usize {
        self.first + self.raw.len() / self.bins
    }

    /// Scales and transposes `frames` of the window into the rows of the bins from `first` on.
    fn transpose(&self, source: &[f32], first: usize, rows: &mut [f32], frames: Range<usize>) {
        let is_full = rows.len() == SIDE * WINDOW_FRAMES;
        let in_squares = if is_full { frames.len() / SIDE * SIDE } else { 0 };
        for frame in (0..in_squares).step_by(SIDE) {
            let square: [[f32; SIDE]; SIDE] = array::from_fn(|side| {
                let values = &source[(frame + side) * self.bins + first..][..SIDE];
                array::from_fn(|bin| self.scale.apply(values[bin]))
            });
            for (bin, row) in rows.chunks_exact_mut(WINDOW_FRAMES).enumerate() {
                let transposed: [f32; SIDE] = array::from_fn(|side| square[side][bin]);
                row[frames.start + frame..][..SIDE].copy_from_slice(&transposed);
            }
        }
        for (bin, row) in rows.chunks_exact_mut(WINDOW_FRAMES).enumerate() {
            for frame in in_squares..frames.len() {
                row[frames.start + frame] = self.scale.apply(source[frame * self.bins + first + bin]);
            }
        }
    }
}

impl Features for ChunkFeatures {
    /// `frames` may reach beyond the stored ones, into the mel of the zeros that the reference appends to the audio: it
    /// detects the language on them, and they differ from the zeros that pad a short window.
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()> {
        if seek < self.first || frames > WINDOW_FRAMES {
            let why =
                format!("{frames} frames from {seek} requested, but the chunk begins at {}", self.first);
            return Err(Error::compute("reading the mel spectrogram", why));
        }
        let stored = self.end().saturating_sub(seek).min(frames);
        let silence = self.scale.apply(SILENCE);
        out.resize(self.bins * WINDOW_FRAMES, 0.0);
        for row in out.chunks_exact_mut(WINDOW_FRAMES) {
            row[stored..frames].fill(silence);
            row[frames..].fill(0.0);
        }
        let skipped = (seek - self.first).min(self.raw.len() / self.bins) * self.bins;
        for tile in (0..stored).step_by(TILE) {
            let width = TILE.min(stored - tile);
            let source = &self.raw[skipped + tile * self.bins..][..width * self.bins];
            for (group, rows) in out.chunks_mut(SIDE * WINDOW_FRAMES).enumerate() {
                self.transpose(source, group * SIDE, rows, tile..tile + width);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposes_any_number_of_bins() {
        for bins in [1, 3, 4, 7, 80] {
            let raw: Vec<f32> = (0..200 * bins).map(|i| (i % 977) as f32 / 100.0).collect();
            let mut features = ChunkFeatures::new(bins, 0, raw.clone(), 8.0);
            let mut out = vec![9.0; 10];
            for (seek, frames) in [(0, 200), (5, 66), (13, 3)] {
                features.window(seek, frames, &mut out).unwrap();
                let at = |bin: usize, frame: usize| (raw[(seek + frame) * bins + bin].max(0.0) + 4.0) / 4.0;
                for (bin, row) in out.chunks(3_000).enumerate() {
                    assert!((0..frames).all(|frame| row[frame] == at(bin, frame)), "{bin} of {bins}");
                    assert!(row[frames..].iter().all(|value| *value == 0.0));
                }
            }
        }
    }

    /// Returns features whose frame `f` has the raw values `f` and `-f / 1000`.
    fn features(first: usize, frames: usize) -> ChunkFeatures {
        let raw = (first..first + frames).flat_map(|f| [f as f32, -(f as f32) / 1000.0]).collect();
        ChunkFeatures::new(2, first, raw, 4.0)
    }

    fn expected(raw: f32) -> f32 {
        (raw.max(-4.0) + 4.0) / 4.0
    }

    #[test]
    fn transposes_scales_and_pads_windows() {
        let mut features = features(1_000, 5_000);
        let mut out = vec![9.0; 3];
        for (seek, frames) in [(1_000, 3_000), (1_000, 3_000), (1_010, 100), (3_500, 2_500), (5_999, 1)] {
            features.window(seek, frames, &mut out).unwrap();
            assert_eq!(out.len(), 6_000);
            for i in 0..3_000 {
                let (first, second) = match i < frames {
                    true => (expected((seek + i) as f32), expected(-((seek + i) as f32) / 1000.0)),
                    false => (0.0, 0.0),
                };
                assert_eq!((out[i], out[3_000 + i]), (first, second), "frame {i} of {frames} from {seek}");
            }
        }
    }

    #[test]
    fn extends_the_audio_with_silence() {
        let mut out = Vec::new();
        features(0, 102).window(0, 3_000, &mut out).unwrap();
        assert_eq!(out[101], expected(101.0));
        assert!(out[102..3_000].iter().all(|v| *v == expected(SILENCE)));
        features(0, 102).window(200, 10, &mut out).unwrap();
        assert!(out[..10].iter().all(|v| *v == expected(SILENCE)));
    }

    #[test]
    fn rejects_frames_before_the_chunk() {
        assert!(features(100, 100).window(99, 10, &mut Vec::new()).is_err());
    }
}
