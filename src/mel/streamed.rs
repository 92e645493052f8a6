//! Windows out of a stream of frames that somebody else makes.

use crossbeam_channel::Receiver;

use super::features::Features;
use super::scale::{SILENCE, Scale};
use super::stream::Extent;
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;

/// Frames per step of the transposition: a few cache lines of every bin.
const TILE: usize = 32;

/// Receives blocks of raw frames, keeps those from the last window asked for on, and scales what it hands out.
pub struct StreamedFeatures {
    bins: usize,
    extent: Extent,
    scale: Scale,
    blocks: Receiver<Result<Vec<f32>>>,
    /// Raw frames, one after the other.
    frames: Vec<f32>,
    /// Which frame of the audio is the first of `frames`.
    first: usize,
    ended: bool,
}

impl StreamedFeatures {
    /// `blocks` carries whole frames of `bins` raw values as a [`super::MelStream`] makes them; its end is the
    /// end of the audio. An error in it is the error of the window that needed the block.
    pub fn new(bins: usize, extent: Extent, blocks: Receiver<Result<Vec<f32>>>) -> Self {
        let scale = Scale::new(extent.max);
        Self { bins, extent, scale, blocks, frames: Vec::new(), first: 0, ended: false }
    }

    /// One past the last frame that is here.
    fn end(&self) -> usize {
        self.first + self.frames.len() / self.bins
    }

    fn forget_before(&mut self, seek: usize) {
        let known = self.end().min(seek);
        self.frames.drain(..(known - self.first) * self.bins);
        self.first = known;
    }

    /// Receives until frame `end` is here or nothing more comes, and drops what lies before `seek`.
    fn advance(&mut self, seek: usize, end: usize) -> Result<()> {
        self.forget_before(seek);
        while self.end() < end && !self.ended {
            match self.blocks.recv() {
                Ok(block) => self.frames.extend(block?),
                Err(_) => self.ended = true,
            }
            self.forget_before(seek);
        }
        if self.end() < end.min(self.content_frames()) {
            return Err(Error::compute("making the mel spectrogram", "its stream ended too early"));
        }
        Ok(())
    }
}

impl Features for StreamedFeatures {
    fn content_frames(&self) -> usize {
        self.extent.frames as usize
    }

    /// `frames` may reach past the content: there lies the mel of the zeros behind the audio, which the
    /// reference detects the language on and which is not the zero of a short window.
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()> {
        if seek < self.first || frames > WINDOW_FRAMES {
            let why = format!("{frames} frames from {seek} asked for, but {} is the first kept", self.first);
            return Err(Error::compute("reading the mel spectrogram", why));
        }
        self.advance(seek, seek + frames)?;
        let here = (self.end().saturating_sub(seek)).min(frames);
        let behind = self.scale.apply(SILENCE);
        out.clear();
        out.resize(self.bins * WINDOW_FRAMES, 0.0);
        for row in out.chunks_exact_mut(WINDOW_FRAMES) {
            row[here..frames].fill(behind);
        }
        for tile in (0..here).step_by(TILE) {
            let width = TILE.min(here - tile);
            let source = &self.frames[tile * self.bins..][..width * self.bins];
            for (bin, row) in out.chunks_exact_mut(WINDOW_FRAMES).enumerate() {
                for (frame, value) in row[tile..][..width].iter_mut().enumerate() {
                    *value = self.scale.apply(source[frame * self.bins + bin]);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frame `f` has the raw values `f` and `-f / 1000`.
    fn features(frames: usize, sent: usize, block: usize) -> StreamedFeatures {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let raw: Vec<f32> = (0..sent).flat_map(|f| [f as f32, -(f as f32) / 1000.0]).collect();
        raw.chunks(2 * block).for_each(|block| sender.send(Ok(block.to_vec())).unwrap());
        let extent = Extent { samples: frames as u64 * 160, frames: frames as u64, max: 4.0 };
        StreamedFeatures::new(2, extent, receiver)
    }

    fn expected(raw: f32) -> f32 {
        (raw.max(-4.0) + 4.0) / 4.0
    }

    #[test]
    fn windows_are_transposed_scaled_and_padded() {
        let mut features = features(5_000, 5_002, 77);
        let mut out = vec![9.0; 3];
        for (seek, frames) in [(0, 3_000), (0, 3_000), (10, 100), (2_500, 2_500), (4_999, 1)] {
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
    fn past_the_content_lie_the_zeros_behind_the_audio() {
        let mut features = features(100, 102, 50);
        let mut out = Vec::new();
        features.window(0, 3_000, &mut out).unwrap();
        assert_eq!(out[101], expected(101.0));
        assert!(out[102..3_000].iter().all(|v| *v == expected(SILENCE)));
    }

    #[test]
    fn frames_before_the_window_are_forgotten() {
        let mut features = features(100_000, 100_000, 1_000);
        let mut out = Vec::new();
        for seek in (0..97_000).step_by(2_700) {
            features.window(seek, 3_000, &mut out).unwrap();
            assert!(features.frames.len() <= 2 * (3_000 + 1_000));
        }
        // A jump over frames that were never asked for.
        features.window(99_990, 10, &mut out).unwrap();
        assert_eq!(out[9], expected(99_999.0));
        assert!(features.window(99_000, 10, &mut out).is_err());
    }

    #[test]
    fn the_producers_error_and_a_short_stream_are_told() {
        let mut out = Vec::new();
        assert!(matches!(
            features(5_000, 4_000, 99).window(2_000, 3_000, &mut out),
            Err(Error::Compute { .. })
        ));

        let (sender, receiver) = crossbeam_channel::unbounded();
        sender.send(Ok(vec![1.0; 20])).unwrap();
        sender.send(Err(Error::usage("x", "y"))).unwrap();
        let mut features =
            StreamedFeatures::new(2, Extent { samples: 16_000, frames: 100, max: 1.0 }, receiver);
        features.window(0, 10, &mut out).unwrap();
        assert!(matches!(features.window(0, 11, &mut out), Err(Error::Usage { .. })));
    }
}
