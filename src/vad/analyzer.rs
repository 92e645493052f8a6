//! Samples → what is known of each 10 ms: how likely it is speech, and how loud.

use super::Frame;
use super::detector::VoiceActivity;
use super::loudness;
use crate::time::HOP;

/// Samples that are worked on at once.
const BATCH: usize = 100 * HOP;

/// See the module. It does not depend on how the audio is dealt out.
pub struct Listener {
    voice: VoiceActivity,
    /// Samples of a frame that is not complete.
    rest: Vec<f32>,
    /// Power of the frames whose voice activity is still to come.
    powers: Vec<f32>,
    /// Voice activity that goes with it.
    activity: Vec<f32>,
}

impl Default for Listener {
    fn default() -> Self {
        Self::new()
    }
}

impl Listener {
    pub fn new() -> Self {
        Self {
            voice: VoiceActivity::new(),
            rest: Vec::with_capacity(HOP),
            powers: Vec::new(),
            activity: Vec::new(),
        }
    }

    /// Appends the frames that are settled: up to 90 ms after they have passed.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<Frame>) {
        for batch in samples.chunks(BATCH) {
            self.measure(batch);
            self.voice.push(batch, &mut self.activity);
            self.join(frames);
        }
    }

    /// Appends those that are left: then there is one for every whole frame.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) {
        self.voice.finish(&mut self.activity);
        self.join(frames);
    }

    /// Takes the power of the frames that `samples` complete.
    fn measure(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(HOP - self.rest.len()));
            samples = later;
            self.rest.extend(now.iter().map(|sample| loudness::sane(*sample)));
            if self.rest.len() == HOP {
                self.powers.push(loudness::power(&self.rest));
                self.rest.clear();
            }
        }
    }

    /// Gives out the frames of which both is known.
    fn join(&mut self, frames: &mut Vec<Frame>) {
        let known = self.powers.len().min(self.activity.len());
        let both = self.powers.drain(..known).zip(self.activity.drain(..known));
        frames.extend(both.map(|(power, speech)| Frame { speech, power }));
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        4 * (self.rest.capacity() + self.powers.capacity() + self.activity.capacity())
    }
}
