//! Selection of the windows that the language is detected on: those with speech.
//!
//! Music, noise and silence before the first words resemble any language, and a model may be quite certain of a wrong
//! one. Windows without speech are therefore skipped. Some music passes as speech, so windows that are never as quiet as
//! speech is between its syllables are used only if there is no other.

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
/// Frames over which the mean amplitude is taken.
const AVERAGE_FRAMES: usize = 100;
/// Frames below this fraction of the mean amplitude are quiet.
const QUIET: f32 = 0.5;
/// Minimum fraction of quiet frames. It is a third to a half in speech, still an eighth in speech over noise or music of
/// nearly its loudness, and a few hundredths at most in music or noise alone.
const MIN_QUIET_SHARE: f64 = 0.12;
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
    /// Windows with speech or music.
    uncertain: Vec<LanguageWindow>,
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
            uncertain: Vec::new(),
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
        self.uncertain.truncate(self.wanted);
        if self.found.is_empty() { self.uncertain } else { self.found }
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
        let selected = LanguageWindow { seek: self.position, features };
        if has_pauses(window) {
            self.found.push(selected)
        } else {
            self.uncertain.push(selected)
        }
        self.skip(frames);
    }

    fn skip(&mut self, frames: usize) {
        self.raw.drain(..frames * self.bins);
        self.frames.drain(..frames);
        self.position += frames;
    }
}

/// Whether the audio pauses as often as speech does.
fn has_pauses(frames: &[VadFrame]) -> bool {
    let quiet = |part: &[VadFrame]| {
        let mean = part.iter().map(|frame| frame.power.sqrt()).sum::<f32>() / part.len() as f32;
        part.iter().filter(|frame| frame.power.sqrt() < QUIET * mean).count()
    };
    let count: usize = frames.chunks(AVERAGE_FRAMES).map(quiet).sum();
    count as f64 >= MIN_QUIET_SHARE * frames.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SAMPLE_RATE;

    /// Returns a buzz, with or without syllables.
    fn buzz(seconds: usize, syllables: bool) -> Vec<f32> {
        let level = |i: usize| if !syllables || i % 4_000 < 2_400 { 0.3 } else { 0.003 };
        let swing = |i: usize| if syllables { (i as f32 * 0.001).sin() } else { 1.0 };
        let sample = |i: usize| level(i) * ((i % 133) as f32 / 66.5 - 1.0) * swing(i);
        (0..seconds * SAMPLE_RATE as usize).map(sample).collect()
    }

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
        let speech = buzz(100, true);
        assert_eq!(seeks(3, &speech, None), [500, 3_500, 6_500]);
        assert_eq!(seeks(1, &speech, None), [500]);
        assert_eq!(seeks(3, &speech, Some(4_000)), [500, 3_500]);
        let silence = vec![0.0; 45 * SAMPLE_RATE as usize];
        let late = seeks(2, &[&silence[..], &speech].concat(), None);
        assert!(late.len() == 2 && (4_900..5_050).contains(&late[0]), "{late:?}");
        assert!(seeks(3, &silence, None).is_empty());
        assert!(seeks(3, &[], None).is_empty());
    }

    #[test]
    fn selects_music_only_if_there_is_no_speech() {
        let music = buzz(60, false);
        let uncertain = seeks(3, &music, None);
        let found = seeks(3, &[&music[..], &buzz(30, true)].concat(), None);
        let is_new = |seek: &usize| *seek >= 5_000 && !uncertain.contains(seek);
        assert!(!found.is_empty() && found.iter().all(is_new), "{found:?} {uncertain:?}");
    }
}
