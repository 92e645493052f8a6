//! Speech probability of each 10 ms frame, from the network of Silero VAD.
//!
//! The network misses speech far below the usual level. The audio is therefore first normalized by a gain that follows the
//! loudest part of the last minutes.

use super::loudness::{power, sanitize};
use super::silero::{BLOCK, Silero};
use crate::time::HOP;

/// Samples by which the network's output lags, chosen so that speech starts about as much too early as it ends too late.
const LAG: usize = 480;
/// The root mean square, of differences as `loudness` takes them, that the gain brings speech to.
const TARGET_LEVEL: f32 = 0.16;
/// The maximum gain (50 dB): anything quieter is the noise of a converter.
const MAX_GAIN: f32 = 316.0;
/// Weight of a block in the mean power, which makes the mean span a quarter of a second: a click must not set the
/// level.
const MEAN_WEIGHT: f32 = 1.0 / 8.0;
/// Decay of the level per block: 0.15 dB per second. After a long pause the first words must not be amplified until they
/// clip.
const LEVEL_DECAY: f32 = 0.998_895;

/// Detects voice activity in 16 kHz mono audio, as a stream; the result does not depend on the block sizes.
pub struct VoiceDetector {
    network: Silero,
    gain: GainControl,
    /// Samples of an incomplete block.
    pending: Vec<f32>,
    /// The network's output for the blocks.
    probabilities: Vec<f32>,
    /// Samples received.
    total: u64,
    /// Samples that the network has processed.
    processed: u64,
    /// Frames that have a probability.
    frames: u64,
}

impl Default for VoiceDetector {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceDetector {
    pub fn new() -> Self {
        Self {
            network: Silero::new(),
            gain: GainControl::default(),
            pending: Vec::new(),
            probabilities: Vec::new(),
            total: 0,
            processed: 0,
            frames: 0,
        }
    }

    /// Appends the speech probabilities that are final, which lag the input by at most 80 ms.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.total += samples.len() as u64;
        self.feed(samples, out);
    }

    /// Appends the remaining ones, so that every complete frame of the input has one.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        self.feed(&[0.0; LAG + 2 * BLOCK], out);
    }

    fn feed(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.pending.extend(samples.iter().map(|sample| sanitize(*sample)));
        let complete = self.pending.len() / BLOCK * BLOCK;
        let blocks = &mut self.pending[..complete];
        blocks.chunks_exact_mut(BLOCK).for_each(|block| self.gain.apply(block));
        self.network.push(blocks, &mut self.probabilities);
        self.pending.drain(..complete);
        for probability in std::mem::take(&mut self.probabilities) {
            self.processed += BLOCK as u64;
            self.emit(probability, out);
        }
    }

    /// Assigns a block's probability to the frames whose centers it is the first to reach.
    fn emit(&mut self, probability: f32, out: &mut Vec<f32>) {
        let end = (self.processed + (HOP / 2) as u64).saturating_sub(LAG as u64) / HOP as u64;
        let end = end.min(self.total / HOP as u64);
        out.extend((self.frames..end).map(|_| probability));
        self.frames = end.max(self.frames);
    }
}

/// Automatic gain control with a fast attack and a slow release.
#[derive(Default)]
struct GainControl {
    /// Mean power of the last quarter of a second.
    mean: f32,
    /// Peak of the mean power, with decay.
    level: f32,
}

impl GainControl {
    fn apply(&mut self, block: &mut [f32]) {
        self.mean += (power(block) - self.mean) * MEAN_WEIGHT;
        self.level = self.mean.max(self.level * LEVEL_DECAY);
        let gain = (TARGET_LEVEL / self.level.sqrt()).min(MAX_GAIN);
        block.iter_mut().for_each(|sample| *sample = (*sample * gain).clamp(-1.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(blocks: &[&[f32]]) -> Vec<f32> {
        let (mut voice, mut out) = (VoiceDetector::new(), Vec::new());
        blocks.iter().for_each(|block| voice.push(block, &mut out));
        voice.finish(&mut out);
        out
    }

    #[test]
    fn emits_one_probability_per_complete_frame() {
        for samples in [0, 1, 159, 160, 511, 512, 1000, 16_001] {
            let audio: Vec<f32> = (0..samples).map(|i| (i as f32 * 0.1).sin()).collect();
            let out = probabilities(&[&audio]);
            assert_eq!(out.len(), samples / HOP, "{samples}");
            assert!(out.iter().all(|p| (0.0..=1.0).contains(p)));
            let blocks: Vec<&[f32]> = audio.chunks(77).collect();
            assert_eq!(probabilities(&blocks), out);
        }
    }

    #[test]
    fn lags_at_most_80_ms() {
        let (mut voice, mut out) = (VoiceDetector::new(), Vec::new());
        voice.push(&[0.0; 16_000], &mut out);
        assert!(out.len() >= 100 - 8, "{}", out.len());
    }

    #[test]
    fn silence_is_not_speech() {
        assert!(probabilities(&[&[0.0; 32_000]]).iter().all(|p| *p < 0.4));
    }

    #[test]
    fn survives_non_finite_and_huge_samples() {
        for damage in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX] {
            let mut audio = vec![0.01; 16_000];
            audio[5_000..6_000].fill(damage);
            assert!(probabilities(&[&audio]).iter().all(|p| p.is_finite()));
        }
    }
}
