//! Voice activity: how likely each 10 ms frame is speech, by the small network of `earshot`.
//!
//! The network was made for recordings of a usual level and misses speech far below it. So the audio is first
//! brought to one level by a gain that follows the loudest of the last half minute or so.

use earshot::Detector;

use super::loudness::{power, sane};
use crate::time::HOP;

/// Samples that the network takes at once: 16 ms.
const BLOCK: usize = 256;
/// How many samples its answer lags: so that speech begins as early too early as it ends too late.
const LAG: usize = 1024;
/// The root mean square, of differences as loudness takes them, that the gain brings speech to.
const LEVEL: f32 = 0.16;
/// The gain at most (50 dB): what needs more is the noise of a converter.
const MAX_GAIN: f32 = 316.0;
/// The greatest noise that is added: four steps of 16 bits. Bands in which there is nothing at all, as above the
/// limit of a telephone, take pauses from the network.
const NOISE: f32 = 4.0 / 32_768.0;
/// The share of a block in the mean power, which so spans a quarter of a second: a click is no level.
const MEAN_SHARE: f32 = 1.0 / 16.0;
/// What a block leaves of the level before it: it falls by 0.5 dB per second.
const LEVEL_DECAY: f32 = 0.998_159_6;

/// Voice activity of 16 kHz mono audio, as a stream. It does not depend on how the audio is dealt out.
pub struct VoiceActivity {
    detector: Box<Detector>,
    gain: Gain,
    /// Samples of a block that is not complete.
    block: Vec<f32>,
    /// Samples that came in.
    total: u64,
    /// Samples that the detector has seen.
    seen: u64,
    /// Frames that have their probability.
    frames: u64,
}

impl Default for VoiceActivity {
    fn default() -> Self {
        Self::new()
    }
}

impl VoiceActivity {
    pub fn new() -> Self {
        Self {
            detector: Detector::default_boxed(),
            gain: Gain::default(),
            block: Vec::with_capacity(BLOCK),
            total: 0,
            seen: 0,
            frames: 0,
        }
    }

    /// Appends the probability of speech of each frame that is settled: up to 90 ms after it has passed.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.total += samples.len() as u64;
        self.feed(samples, out);
    }

    /// Appends those that are left: then every whole frame has one.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
        self.feed(&[0.0; LAG + 2 * BLOCK], out);
    }

    fn feed(&mut self, mut samples: &[f32], out: &mut Vec<f32>) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(BLOCK - self.block.len()));
            samples = later;
            self.block.extend(now.iter().map(|sample| sane(*sample)));
            if self.block.len() == BLOCK {
                self.gain.apply(&mut self.block);
                let probability = self.detector.predict_f32(&self.block).clamp(0.0, 1.0);
                self.block.clear();
                self.seen += BLOCK as u64;
                self.answer(probability, out);
            }
        }
    }

    /// The answer stands for the frames whose middle it reaches and none before it did.
    fn answer(&mut self, probability: f32, out: &mut Vec<f32>) {
        let settled = (self.seen + (HOP / 2) as u64).saturating_sub(LAG as u64) / HOP as u64;
        let settled = settled.min(self.total / HOP as u64);
        out.extend((self.frames..settled).map(|_| probability));
        self.frames = settled.max(self.frames);
    }
}

/// Brings audio to one level, down at once and up slowly, and adds a noise that nobody hears.
#[derive(Default)]
struct Gain {
    /// Mean power of the last quarter of a second.
    mean: f32,
    /// The greatest mean power, slowly forgotten.
    level: f32,
    /// State of a linear congruential generator.
    random: u32,
}

impl Gain {
    fn apply(&mut self, block: &mut [f32]) {
        self.mean += (power(block) - self.mean) * MEAN_SHARE;
        self.level = self.mean.max(self.level * LEVEL_DECAY);
        let gain = (LEVEL / self.level.sqrt()).min(MAX_GAIN);
        for sample in block {
            *sample = (*sample * gain + self.noise()).clamp(-1.0, 1.0);
        }
    }

    fn noise(&mut self) -> f32 {
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        NOISE * ((self.random >> 8) as f32 / (1 << 23) as f32 - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(blocks: &[&[f32]]) -> Vec<f32> {
        let (mut voice, mut out) = (VoiceActivity::new(), Vec::new());
        blocks.iter().for_each(|block| voice.push(block, &mut out));
        voice.finish(&mut out);
        out
    }

    #[test]
    fn every_whole_frame_has_its_probability() {
        for samples in [0, 1, 159, 160, 255, 256, 1000, 16_001] {
            let audio: Vec<f32> = (0..samples).map(|i| (i as f32 * 0.1).sin()).collect();
            let out = activity(&[&audio]);
            assert_eq!(out.len(), samples / HOP, "{samples}");
            assert!(out.iter().all(|p| (0.0..=1.0).contains(p)));
            let dealt: Vec<&[f32]> = audio.chunks(77).collect();
            assert_eq!(activity(&dealt), out);
        }
    }

    #[test]
    fn they_come_soon() {
        let (mut voice, mut out) = (VoiceActivity::new(), Vec::new());
        voice.push(&[0.0; 16_000], &mut out);
        assert!(out.len() >= 100 - 9, "{}", out.len());
    }

    #[test]
    fn silence_is_no_speech() {
        assert!(activity(&[&[0.0; 32_000]]).iter().all(|p| *p < 0.4));
    }

    #[test]
    fn damage_passes() {
        for damage in [f32::NAN, f32::INFINITY, f32::MIN, f32::MAX] {
            let mut audio = vec![0.01; 16_000];
            audio[5_000..6_000].fill(damage);
            assert!(activity(&[&audio]).iter().all(|p| p.is_finite()));
        }
    }
}
