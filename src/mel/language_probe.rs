//! Selection of the windows that the language is detected on: those with speech.
//!
//! Music, noise and silence before the first words resemble any language, and a model may be quite certain of a wrong
//! one. Windows without speech are therefore skipped.

use super::features::ChunkFeatures;
use super::scale::SILENCE;
use super::stream::MelStream;
use crate::time::{HOP, WINDOW_FRAMES};
use crate::vad::{FrameAnalyzer, VadFrame};

/// Maximum number of frames that are searched: three minutes.
const MAX_FRAMES: usize = 18_000;
/// Minimum probability of a speech frame.
const SPEECH: f32 = 0.5;
/// Minimum number of speech frames in a window.
const MIN_SPEECH_FRAMES: usize = 100;
/// Frames kept before the first speech of a window.
const MARGIN: usize = 30;
/// Frames skipped where there is too little speech.
const STEP: usize = 500;

/// A window to detect the language on.
pub struct LanguageWindow {
    /// The first frame, counted from the start of the recording.
    pub seek: usize,
    pub features: ChunkFeatures,
}

/// Selects windows as a stream, without buffering more than them and the current one.
pub struct LanguageProbe {
    bins: usize,
    wanted: usize,
    loudest: Option<f32>,
    stream: MelStream,
    analyzer: FrameAnalyzer,
    /// The first frame received.
    start: usize,
    /// The first frame of the next window.
    position: usize,
    /// Raw mel values from `position` on.
    raw: Vec<f32>,
    frames: Vec<VadFrame>,
    samples_left: usize,
    /// Windows with speech.
    found: Vec<LanguageWindow>,
}

impl LanguageProbe {
    /// Selects up to `wanted` windows from frame `start` to `end`. Values are scaled relative to the loudest one of the
    /// recording if that is known, else of the window.
    pub fn new(bins: usize, wanted: usize, loudest: Option<f32>, start: u64, end: Option<u64>) -> Self {
        let start = start as usize;
        let end = end.map_or(usize::MAX, |end| end as usize).min(start + MAX_FRAMES);
        Self {
            bins,
            wanted,
            loudest,
            stream: MelStream::new(bins),
            analyzer: FrameAnalyzer::new(),
            start,
            position: start,
            raw: Vec::new(),
            frames: Vec::new(),
            samples_left: (end - start) * HOP,
            found: Vec::new(),
        }
    }

    /// Whether enough windows are found or the end of the search is reached.
    pub fn is_done(&self) -> bool {
        self.found.len() >= self.wanted || self.samples_left == 0
    }

    /// Takes the samples from `start` on.
    pub fn push(&mut self, samples: &[f32]) {
        if self.is_done() {
            return;
        }
        let samples = &samples[..samples.len().min(self.samples_left)];
        self.samples_left -= samples.len();
        self.stream.push(samples, &mut self.raw);
        self.analyzer.push(samples, &mut self.frames);
        while self.available() >= WINDOW_FRAMES && !self.is_done() {
            self.examine(WINDOW_FRAMES);
        }
    }

    /// Returns the selected windows, none if there is no speech; the last one may be short.
    pub fn finish(mut self) -> Vec<LanguageWindow> {
        if self.found.len() < self.wanted {
            let stream = std::mem::replace(&mut self.stream, MelStream::new(self.bins));
            stream.finish(&mut self.raw);
            self.analyzer.finish(&mut self.frames);
            while self.available() > 0 && self.found.len() < self.wanted {
                self.examine(self.available().min(WINDOW_FRAMES));
            }
        }
        self.found
    }

    /// Returns the number of frames that have both a mel and a speech probability.
    fn available(&self) -> usize {
        (self.raw.len() / self.bins).min(self.frames.len())
    }

    /// Selects the next `frames` as a window or skips some of them.
    fn examine(&mut self, frames: usize) {
        let window = &self.frames[..frames];
        // The first window is not shifted: it is the one that other programs detect the language on.
        let is_first = self.position == self.start;
        let silent = window.iter().take_while(|frame| frame.speech < SPEECH).count();
        if !is_first && silent > MARGIN {
            return self.skip((silent - MARGIN).min(frames));
        }
        let speech = window.iter().filter(|frame| frame.speech >= SPEECH).count();
        if speech < MIN_SPEECH_FRAMES {
            return self.skip(STEP.min(frames));
        }
        let raw = self.raw[..frames * self.bins].to_vec();
        let loudest = self.loudest.unwrap_or_else(|| raw.iter().copied().fold(SILENCE, f32::max));
        let features = ChunkFeatures::new(self.bins, self.position, raw, loudest);
        self.found.push(LanguageWindow { seek: self.position, features });
        self.skip(frames);
    }

    fn skip(&mut self, frames: usize) {
        self.raw.drain(..frames * self.bins);
        self.frames.drain(..frames);
        self.position += frames;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::fixture;
    use crate::time::SAMPLE_RATE;

    fn seeks(wanted: usize, audio: &[f32], end: Option<u64>) -> Vec<usize> {
        let run = |block: usize| -> Vec<usize> {
            let mut probe = LanguageProbe::new(80, wanted, None, 500, end);
            audio.chunks(block).for_each(|block| probe.push(block));
            probe.finish().iter().map(|window| window.seek).collect()
        };
        assert_eq!(run(8_000), run(1_000_000));
        run(3_333)
    }

    #[test]
    fn selects_windows_with_speech() {
        let speech = fixture("long_en");
        let whole = seeks(3, &speech, None);
        // Later windows begin just before somebody speaks.
        assert!(
            whole.len() == 3 && whole[0] == 500 && whole.windows(2).all(|w| w[1] >= w[0] + 3_000),
            "{whole:?}"
        );
        assert_eq!(seeks(1, &speech, None), [500]);
        assert_eq!(seeks(3, &speech, Some(4_500)), whole[..2]);
        let silence = vec![0.0; 45 * SAMPLE_RATE as usize];
        let late = seeks(2, &[&silence[..], &speech].concat(), None);
        assert!(late.len() == 2 && (4_900..5_150).contains(&late[0]), "{late:?}");
        assert!(seeks(3, &silence, None).is_empty());
        assert!(seeks(3, &[], None).is_empty());
    }

    #[test]
    fn music_is_not_speech() {
        let music = fixture("music");
        assert!(seeks(3, &music, None).is_empty());
        let begin = 500 + music.len() / HOP;
        let found = seeks(1, &[&music[..], &fixture("long_en")].concat(), None);
        assert!(found.len() == 1 && found[0] + 50 >= begin, "{found:?} {begin}");
    }
}
