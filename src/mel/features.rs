//! What the engine needs of one stretch of audio: its length and any window of it.

use crate::error::Result;

pub trait Features {
    /// Mel frames that hold audio (without padding).
    fn content_frames(&self) -> usize;

    /// Writes the window of `frames` frames from frame `seek` as `n_mels` rows of 3000 values, zeros after
    /// `frames`. Windows are asked for in ascending order of `seek`; the same one may be asked for again.
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()>;
}
