//! The voice detector's view of one chunk, for rules about windows and text that nobody spoke.

use std::ops::Range;

/// The speech probability of each frame of a chunk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpeechMap {
    /// Frame of the recording that the probabilities begin with.
    first: usize,
    probabilities: Vec<f32>,
}

impl SpeechMap {
    pub fn new(first: usize, probabilities: Vec<f32>) -> Self {
        SpeechMap { first, probabilities }
    }

    /// Returns how many of these frames are speech with at least this probability. Frames that are not on the map count
    /// as speech.
    pub fn speech_frames(&self, frames: Range<usize>, probability: f32) -> usize {
        let is_speech = |frame: &usize| {
            let known = frame.checked_sub(self.first).and_then(|at| self.probabilities.get(at));
            known.is_none_or(|known| *known >= probability)
        };
        frames.filter(is_speech).count()
    }

    /// Returns the stretches of at least so many frames in a row, among these, that are speech with a lower probability.
    pub fn silences(&self, frames: Range<usize>, probability: f32, run: usize) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut start = None;
        let end = frames.end.min(self.first + self.probabilities.len());
        for frame in frames.start.max(self.first)..end {
            if self.probabilities[frame - self.first] < probability {
                start.get_or_insert(frame);
            } else if let Some(start) = start.take() {
                found.push(start..frame);
            }
        }
        found.extend(start.map(|start| start..end));
        found.retain(|silence| silence.len() >= run);
        found
    }

    /// Returns the first of these frames from which on so many are speech with at least this probability.
    pub fn first_speech(&self, frames: Range<usize>, probability: f32, run: usize) -> Option<usize> {
        let from = frames.start.saturating_sub(self.first).min(self.probabilities.len());
        let to = frames.end.saturating_sub(self.first).min(self.probabilities.len()).max(from);
        let is_speech = |run: &[f32]| run.iter().all(|known| *known >= probability);
        self.probabilities[from..to].windows(run).position(is_speech).map(|at| self.first + from + at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_speech_and_takes_the_unknown_for_it() {
        let map = SpeechMap::new(100, vec![0.0, 0.2, 0.3, 0.9, 1.0]);
        assert_eq!(map.speech_frames(100..105, 0.3), 3);
        assert_eq!(map.speech_frames(100..102, 0.3), 0);
        assert_eq!(map.speech_frames(103..108, 0.95), 4);
        assert_eq!(map.speech_frames(90..100, 0.5), 10);
        assert_eq!(map.first_speech(0..200, 0.3, 2), Some(102));
        assert_eq!(map.first_speech(103..200, 0.3, 2), Some(103));
        assert_eq!(map.first_speech(100..104, 0.3, 3), None);
        assert_eq!(map.first_speech(300..400, 0.3, 1), None);
        let silences = |frames, probability, run| -> Vec<(usize, usize)> {
            map.silences(frames, probability, run).into_iter().map(|found| (found.start, found.end)).collect()
        };
        assert_eq!(silences(0..200, 0.5, 1), [(100, 103)]);
        assert_eq!(silences(101..103, 0.25, 1), [(101, 102)]);
        assert_eq!(silences(0..200, 2.0, 5), [(100, 105)]);
        assert_eq!(silences(0..200, 2.0, 6), []);
    }
}
