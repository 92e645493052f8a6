//! Mixes the interleaved samples that `ffmpeg` writes, as they come.

use super::header::StreamFormat;
use crate::audio::channels;
use crate::audio::decode::plausible;

const SAMPLE_BYTES: usize = 4;

/// Turns bytes of frames into one sample for each frame.
pub(super) struct FrameMixer {
    /// One weight per channel.
    weights: Vec<f32>,
    /// Bytes of a frame that is not complete yet.
    pending: Vec<u8>,
}

impl FrameMixer {
    /// Mixes all channels, or takes one of them.
    pub(super) fn new(format: &StreamFormat, channel: Option<usize>) -> Self {
        Self { weights: channels::weights(&format.positions, channel), pending: Vec::new() }
    }

    /// Takes bytes, and adds the samples of all complete frames.
    pub(super) fn push(&mut self, bytes: &[u8], samples: &mut Vec<f32>) {
        self.pending.extend_from_slice(bytes);
        let frame = self.weights.len() * SAMPLE_BYTES;
        let complete = self.pending.len() / frame * frame;
        let mix = |frame: &[u8]| -> f32 {
            let samples = frame.chunks_exact(SAMPLE_BYTES).zip(&self.weights);
            samples.filter(|(_, weight)| **weight != 0.0).map(|(bytes, weight)| sample(bytes) * weight).sum()
        };
        samples.extend(self.pending[..complete].chunks_exact(frame).map(mix));
        self.pending.drain(..complete);
    }
}

fn sample(bytes: &[u8]) -> f32 {
    let bytes: [u8; SAMPLE_BYTES] = bytes.try_into().unwrap_or_default();
    plausible(f32::from_le_bytes(bytes))
}

/// Reads what `ffmpeg` has said and written as the decoder does, in blocks of so many bytes; for tests. Returns what the log
/// comes to, the rate and the samples, or why there are none.
#[cfg(feature = "testing")]
pub fn read_output(log: &[u8], mut output: &[u8], block: usize) -> (String, Result<(u32, Vec<f32>), String>) {
    let shared = super::log::SharedLog::default();
    super::process::read_log(log, &shared);
    let samples = super::header::read_header(&mut output).map_err(|error| error.to_string()).map(|format| {
        let mut samples = Vec::new();
        let mut mixer = FrameMixer::new(&format, None);
        output.chunks(block.max(1)).for_each(|bytes| mixer.push(bytes, &mut samples));
        (format.rate, samples)
    });
    (format!("{:?}", shared.get()), samples)
}
