//! Joins the speech probability and the power of each 10 ms frame.

use super::VadFrame;
use super::detector::VoiceDetector;
use super::loudness;
use crate::time::HOP;

/// Samples processed at a time.
const BATCH: usize = 100 * HOP;

/// Computes frames as a stream; the result does not depend on the block sizes.
pub struct FrameAnalyzer {
    voice: VoiceDetector,
    /// Samples of an incomplete frame.
    partial: Vec<f32>,
    /// Powers of the frames whose probabilities are still to come.
    powers: Vec<f32>,
    /// Probabilities of the frames whose powers are still to come.
    probabilities: Vec<f32>,
}

impl Default for FrameAnalyzer {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameAnalyzer {
    pub fn new() -> Self {
        Self {
            voice: VoiceDetector::new(),
            partial: Vec::with_capacity(HOP),
            powers: Vec::new(),
            probabilities: Vec::new(),
        }
    }

    /// Appends the frames that are final, which lag the input by at most 80 ms.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<VadFrame>) {
        for batch in samples.chunks(BATCH) {
            self.measure_power(batch);
            self.voice.push(batch, &mut self.probabilities);
            self.emit(frames);
        }
    }

    /// Appends the remaining frames, so that every complete frame of the input has one.
    pub fn finish(&mut self, frames: &mut Vec<VadFrame>) {
        self.voice.finish(&mut self.probabilities);
        self.emit(frames);
    }

    /// Computes the powers of the frames that `samples` complete.
    fn measure_power(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(HOP - self.partial.len()));
            samples = later;
            self.partial.extend(now.iter().map(|sample| loudness::sanitize(*sample)));
            if self.partial.len() == HOP {
                self.powers.push(loudness::power(&self.partial));
                self.partial.clear();
            }
        }
    }

    /// Appends the frames that have both a power and a probability.
    fn emit(&mut self, frames: &mut Vec<VadFrame>) {
        let complete = self.powers.len().min(self.probabilities.len());
        let pairs = self.powers.drain(..complete).zip(self.probabilities.drain(..complete));
        frames.extend(pairs.map(|(power, speech)| VadFrame { speech, power }));
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        4 * (self.partial.capacity() + self.powers.capacity() + self.probabilities.capacity())
    }
}
