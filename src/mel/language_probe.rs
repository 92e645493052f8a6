//! Which windows to listen to for the language: those in which somebody speaks.
//!
//! Music, noise and silence before the first words sound like any language, and a model may be quite sure of it. So
//! what has no voice is passed over; and as some music is taken for a voice, what is not at times as quiet as speech
//! is between its syllables is listened to only if there is nothing else.

use super::features::ChunkFeatures;
use super::scale::SILENCE;
use super::stream::MelStream;
use crate::time::{HOP, WINDOW_FRAMES};
use crate::vad::{FrameAnalyzer, VadFrame};

/// Frames in which a voice is sought at most: three minutes.
const REACH: usize = 18_000;
/// From this probability on a frame is speech.
const SPEECH: f32 = 0.5;
/// Frames of speech in a window worth listening to.
const ENOUGH: usize = 100;
/// Frames over which speech is at times far quieter than on average.
const SECOND: usize = 100;
/// How much quieter: a quarter of the power, half of the amplitude.
const QUIET: f32 = 0.5;
/// The share of such frames. In speech it is a third to a half, and still an eighth in noise or over music of nearly
/// its loudness; in music and in noise alone it is a few hundredths at most.
const LIVELY: f64 = 0.12;
/// Frames kept before the first speech of a window.
const MARGIN: usize = 30;
/// Where there is too little speech, look again so many frames later.
const STEP: usize = 500;

/// A window to listen to.
pub struct LanguageWindow {
    /// Its first frame, counted from the beginning of the recording.
    pub seek: usize,
    pub features: ChunkFeatures,
}

/// Finds them, as a stream, and holds no more than they are.
pub struct LanguageProbe {
    bins: usize,
    wanted: usize,
    loudest: Option<f32>,
    stream: MelStream,
    analyzer: FrameAnalyzer,
    /// The first frame that was taken in.
    start: usize,
    /// The first frame of the next window.
    at: usize,
    /// Mel, and what else is known, from there on.
    raw: Vec<f32>,
    frames: Vec<VadFrame>,
    samples_left: usize,
    /// In which there is speech, and those in which there may be.
    found: Vec<LanguageWindow>,
    doubtful: Vec<LanguageWindow>,
}

impl LanguageProbe {
    /// For so many windows of the audio from frame `start` on, of which nothing from `end` on is looked at. Values
    /// are seen relative to the loudest one of the recording if that is known.
    pub fn new(bins: usize, wanted: usize, loudest: Option<f32>, start: u64, end: Option<u64>) -> Self {
        let start = start as usize;
        let end = end.map_or(usize::MAX, |end| end as usize).min(start + REACH);
        Self {
            bins,
            wanted,
            loudest,
            stream: MelStream::new(bins),
            analyzer: FrameAnalyzer::new(),
            start,
            at: start,
            raw: Vec::new(),
            frames: Vec::new(),
            samples_left: (end - start) * HOP,
            found: Vec::new(),
            doubtful: Vec::new(),
        }
    }

    /// Enough is found, or there is nothing more to look at.
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
        while self.known() >= WINDOW_FRAMES && !self.is_done() {
            self.look(WINDOW_FRAMES);
        }
    }

    /// What was found; the last window may be a short one. None if nobody speaks.
    pub fn finish(mut self) -> Vec<LanguageWindow> {
        if self.found.len() < self.wanted {
            let stream = std::mem::replace(&mut self.stream, MelStream::new(self.bins));
            stream.finish(&mut self.raw);
            self.analyzer.finish(&mut self.frames);
            while self.known() > 0 && self.found.len() < self.wanted {
                self.look(self.known().min(WINDOW_FRAMES));
            }
        }
        self.doubtful.truncate(self.wanted);
        if self.found.is_empty() { self.doubtful } else { self.found }
    }

    /// Frames of which both is there.
    fn known(&self) -> usize {
        (self.raw.len() / self.bins).min(self.frames.len())
    }

    /// Takes the next `frames` for a window, or moves on.
    fn look(&mut self, frames: usize) {
        let window = &self.frames[..frames];
        // The first window is the one that everybody else listens to, if there is something in it.
        let is_first = self.at == self.start;
        let silent = window.iter().take_while(|frame| frame.speech < SPEECH).count();
        if !is_first && silent > MARGIN {
            return self.drop((silent - MARGIN).min(frames));
        }
        let voiced = window.iter().filter(|frame| frame.speech >= SPEECH).count();
        if voiced < ENOUGH {
            return self.drop(STEP.min(frames));
        }
        let raw = self.raw[..frames * self.bins].to_vec();
        let loudest = self.loudest.unwrap_or_else(|| raw.iter().copied().fold(SILENCE, f32::max));
        let features = ChunkFeatures::new(self.bins, self.at, raw, loudest);
        let ear = LanguageWindow { seek: self.at, features };
        if is_lively(window) {
            self.found.push(ear)
        } else {
            self.doubtful.push(ear)
        }
        self.drop(frames);
    }

    fn drop(&mut self, frames: usize) {
        self.raw.drain(..frames * self.bins);
        self.frames.drain(..frames);
        self.at += frames;
    }
}

/// Whether it is quiet as often as speech is.
fn is_lively(frames: &[VadFrame]) -> bool {
    let quiet = |second: &[VadFrame]| {
        let mean = second.iter().map(|frame| frame.power.sqrt()).sum::<f32>() / second.len() as f32;
        second.iter().filter(|frame| frame.power.sqrt() < QUIET * mean).count()
    };
    let count: usize = frames.chunks(SECOND).map(quiet).sum();
    count as f64 >= LIVELY * frames.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SAMPLE_RATE;

    /// A buzz that comes and goes as syllables do, or that does not.
    fn buzz(seconds: usize, syllables: bool) -> Vec<f32> {
        let level = |i: usize| if !syllables || i % 4_000 < 2_400 { 0.3 } else { 0.003 };
        let swing = |i: usize| if syllables { (i as f32 * 0.001).sin() } else { 1.0 };
        let sample = |i: usize| level(i) * ((i % 133) as f32 / 66.5 - 1.0) * swing(i);
        (0..seconds * SAMPLE_RATE as usize).map(sample).collect()
    }

    fn seeks(wanted: usize, audio: &[f32], end: Option<u64>) -> Vec<usize> {
        let run = |block: usize| -> Vec<usize> {
            let mut ears = LanguageProbe::new(80, wanted, None, 500, end);
            audio.chunks(block).for_each(|block| ears.push(block));
            ears.finish().iter().map(|ear| ear.seek).collect()
        };
        assert_eq!(run(8_000), run(1_000_000));
        run(3_333)
    }

    #[test]
    fn speech_is_listened_to_first_of_all() {
        let speech = buzz(100, true);
        assert_eq!(seeks(3, &speech, None), [500, 3_500, 6_500]);
        assert_eq!(seeks(1, &speech, None), [500]);
        assert_eq!(seeks(3, &speech, Some(4_000)), [500, 3_500]);
        let hush = vec![0.0; 45 * SAMPLE_RATE as usize];
        let late = seeks(2, &[&hush[..], &speech].concat(), None);
        assert!(late.len() == 2 && (4_900..5_050).contains(&late[0]), "{late:?}");
        assert!(seeks(3, &hush, None).is_empty());
        assert!(seeks(3, &[], None).is_empty());
    }

    #[test]
    fn what_never_pauses_is_listened_to_only_if_there_is_nothing_else() {
        let music = buzz(60, false);
        let doubtful = seeks(3, &music, None);
        let behind = seeks(3, &[&music[..], &buzz(30, true)].concat(), None);
        let is_new = |seek: &usize| *seek >= 5_000 && !doubtful.contains(seek);
        assert!(!behind.is_empty() && behind.iter().all(is_new), "{behind:?} {doubtful:?}");
    }
}
