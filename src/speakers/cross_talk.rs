//! Cross-talk: a channel that carries a quiet copy of another one, as microphones in one room and poor telephone lines do. The
//! copy is muted, so that nobody's words are transcribed twice.

use crate::time::SAMPLE_RATE;

/// Samples of a level.
const LEVEL: usize = SAMPLE_RATE as usize / 50;
/// Levels on either side of one that are compared: half a second.
const AROUND: usize = 25;
/// How many levels a copy may be late or early.
const LAG: isize = 2;
/// A channel is a copy while its level follows another's this closely, and is at most this share of it.
const COPY_CORRELATION: f32 = 0.85;
const COPY_LEVEL: f32 = 0.5;
/// A channel that follows an earlier one this closely is the same recording twice, whatever its level.
const SAME_CORRELATION: f32 = 0.995;
/// A level below this is silence.
const SILENCE: f32 = 1e-4;

/// The levels of one channel, from its beginning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChannelLevels {
    levels: Vec<f32>,
    /// The squares of the samples of the last level, and their number.
    partial: (f64, usize),
}

impl ChannelLevels {
    pub fn push(&mut self, samples: &[f32]) {
        for sample in samples {
            let sample = if sample.is_finite() { f64::from(*sample) } else { 0.0 };
            self.partial.0 += sample * sample;
            self.partial.1 += 1;
            if self.partial.1 == LEVEL {
                self.levels.push((self.partial.0 / LEVEL as f64).sqrt() as f32);
                self.partial = (0.0, 0);
            }
        }
    }

    fn at(&self, index: usize) -> f32 {
        self.levels.get(index).copied().unwrap_or(0.0)
    }
}

/// Mutes the samples of one channel where they are a copy of another's.
pub struct CrossTalkGate {
    /// Whether each level of the channel is a copy.
    is_copy: Vec<bool>,
    /// Samples that have passed.
    passed: usize,
}

impl CrossTalkGate {
    /// Compares a channel with all others.
    pub fn new(channels: &[ChannelLevels], own: usize) -> Self {
        let count = channels[own].levels.len();
        let is_copy_of = |at: usize, other: usize| is_copy(&channels[own], &channels[other], at, other < own);
        let others = || (0..channels.len()).filter(|other| *other != own);
        let is_copy = (0..count)
            .map(|at| channels[own].at(at) > SILENCE && others().any(|other| is_copy_of(at, other)));
        CrossTalkGate { is_copy: is_copy.collect(), passed: 0 }
    }

    /// Mutes the copies in the next samples.
    pub fn apply(&mut self, samples: &mut [f32]) {
        for sample in samples.iter_mut() {
            if self.is_copy.get(self.passed / LEVEL).copied().unwrap_or(false) {
                *sample = 0.0;
            }
            self.passed += 1;
        }
    }
}

/// Returns whether a channel is a copy of another around one level.
fn is_copy(own: &ChannelLevels, other: &ChannelLevels, at: usize, is_earlier: bool) -> bool {
    let first = at.saturating_sub(AROUND);
    let own: Vec<f32> = (first..=at + AROUND).map(|index| own.at(index)).collect();
    let loudness = |levels: &[f32]| levels.iter().map(|level| level * level).sum::<f32>().sqrt();
    let own_loudness = loudness(&own);
    (-LAG..=LAG).any(|lag| {
        let other: Vec<f32> = (0..own.len())
            .map(|index| (first + index).checked_add_signed(lag).map_or(0.0, |index| other.at(index)))
            .collect();
        let correlation = correlation(&own, &other);
        let is_quiet = own_loudness <= COPY_LEVEL * loudness(&other);
        (is_quiet && correlation > COPY_CORRELATION) || (is_earlier && correlation > SAME_CORRELATION)
    })
}

/// Returns the correlation of two series; 0 if one of them is constant.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        both += (a - mean_a) * (b - mean_b);
        square_a += (a - mean_a).powi(2);
        square_b += (b - mean_b).powi(2);
    }
    match square_a > 0.0 && square_b > 0.0 {
        true => both / (square_a * square_b).sqrt(),
        false => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the share of a channel's power that is muted.
    fn muted(channels: &[Vec<f32>], own: usize) -> f64 {
        let levels = |samples: &Vec<f32>| {
            let mut levels = ChannelLevels::default();
            samples.chunks(777).for_each(|block| levels.push(block));
            levels
        };
        let levels: Vec<ChannelLevels> = channels.iter().map(levels).collect();
        let mut samples = channels[own].clone();
        let mut gate = CrossTalkGate::new(&levels, own);
        samples.chunks_mut(1_234).for_each(|block| gate.apply(block));
        let power = |samples: &[f32]| samples.iter().map(|sample| f64::from(sample * sample)).sum::<f64>();
        let all = power(&channels[own]);
        (all - power(&samples)) / all.max(1e-9)
    }

    #[test]
    fn a_quiet_copy_is_muted_and_speech_is_not() {
        let anna = crate::audio::fixture("short_en");
        let mut ben = crate::audio::fixture("short_es");
        ben.resize(anna.len(), 0.0);
        let mix = |own: &[f32], other: &[f32], share: f32| -> Vec<f32> {
            own.iter().zip(other).map(|(own, other)| own + share * other).collect()
        };
        let silent = vec![0.0; anna.len()];
        // Only one of them speaks, and the other channel hears it.
        let copy = mix(&silent, &anna, 0.2);
        let share = muted(&[anna.clone(), copy.clone()], 1);
        assert!(share > 0.9, "{share}");
        assert_eq!(muted(&[anna.clone(), copy], 0), 0.0);
        // Both speak, and each hears the other a little.
        let both = [mix(&anna, &ben, 0.05), mix(&ben, &anna, 0.05)];
        assert!(muted(&both, 0) < 0.1 && muted(&both, 1) < 0.1, "{} {}", muted(&both, 0), muted(&both, 1));
        // One recording on two channels is transcribed once.
        let share = muted(&[anna.clone(), anna.clone()], 1);
        assert!(share > 0.9, "{share}");
        assert_eq!(muted(&[anna.clone(), anna.clone()], 0), 0.0);
        assert_eq!(muted(&[anna, silent], 1), 0.0);
    }
}
