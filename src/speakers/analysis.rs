//! Samples → windows: who of at most three people speaks when, and their voices.

use std::ops::Range;

use rayon::prelude::*;

use super::Networks;
use super::clustering::LocalVoice;
use super::filter_bank::{self, FilterBank};
use super::segmentation::{FIELD, FRAME_STEP, FRAMES, PEOPLE, WINDOW};

/// Samples between windows.
const STEP: usize = 80_000;
/// Windows computed at once, and how many of them side by side.
const BATCH: usize = 8;
const SIDE_BY_SIDE: usize = 4;
/// Seconds of the middle of a window in which a person speaks alone, above which the voice is taken from there: the
/// windows beside it know the rest.
const MIN_MIDDLE: f64 = 1.0;
/// Seconds in which a person speaks alone, below which the voice is taken from all that the person says.
const MIN_ALONE: f64 = 0.3;
/// Frames of the filter bank that a voice needs at least.
const MIN_FRAMES: usize = 20;

/// What one window says.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyzedWindow {
    pub first_sample: u64,
    /// Who speaks in each frame, as bits.
    pub people: Vec<u8>,
    /// The voices of those who say enough, with their bits' positions.
    pub voices: Vec<(usize, LocalVoice)>,
}

/// Analyzes a recording as a stream. The result does not depend on the sizes of blocks.
pub struct Analyzer<'a> {
    networks: &'a Networks,
    /// Samples from the next window on.
    samples: Vec<f32>,
    /// Samples before those.
    passed: u64,
    bank: FilterBank,
    windows: Vec<AnalyzedWindow>,
}

impl<'a> Analyzer<'a> {
    pub fn new(networks: &'a Networks) -> Self {
        Analyzer { networks, samples: Vec::new(), passed: 0, bank: FilterBank::new(), windows: Vec::new() }
    }

    pub fn push(&mut self, block: &[f32]) {
        self.samples.extend(block.iter().map(|sample| if sample.is_finite() { *sample } else { 0.0 }));
        // The last window is known to be the last.
        while self.samples.len() > WINDOW + (BATCH - 1) * STEP {
            self.analyze(BATCH, false);
        }
    }

    /// Returns all windows, and the number of samples.
    pub fn finish(mut self) -> (Vec<AnalyzedWindow>, u64) {
        let all = self.passed + self.samples.len() as u64;
        // Windows that begin later would see nothing that those before have not seen.
        let left = self.samples.len().saturating_sub(WINDOW).div_ceil(STEP) + 1;
        if all > 0 {
            self.samples.resize(WINDOW + (left - 1) * STEP, 0.0);
            self.analyze(left, true);
        }
        (self.windows, all)
    }

    /// Analyzes the first windows of the samples, and whether the last of them is the last of all.
    fn analyze(&mut self, count: usize, is_end: bool) {
        let starts: Vec<usize> = (0..count).map(|nth| nth * STEP).collect();
        let features = self.features(WINDOW + (count - 1) * STEP);
        let (networks, samples, passed) = (self.networks, &self.samples, self.passed);
        let people = starts.par_chunks(SIDE_BY_SIDE).flat_map(|starts| {
            let windows: Vec<&[f32]> = starts.iter().map(|start| &samples[*start..][..WINDOW]).collect();
            networks.segmentation.people(&windows)
        });
        let people: Vec<Vec<u8>> = people.collect();
        let ends = |start: usize| (passed + start as u64 == 0, is_end && start == (count - 1) * STEP);
        let tasks = starts.into_par_iter().zip(people);
        let windows = tasks.map(|(start, people)| {
            let features = &features[start / filter_bank::STEP * filter_bank::BANDS..];
            let mut window =
                AnalyzedWindow { first_sample: passed + start as u64, people, voices: Vec::new() };
            add_voices(networks, features, &middle(ends(start)), &mut window);
            window
        });
        self.windows.extend(windows.collect::<Vec<_>>());
        self.samples.drain(..count * STEP);
        self.passed += (count * STEP) as u64;
    }

    /// Returns the frames of the filter bank of the first samples.
    fn features(&mut self, samples: usize) -> Vec<f32> {
        let mut features = Vec::new();
        for frame in self.samples[..samples].windows(filter_bank::LENGTH).step_by(filter_bank::STEP) {
            self.bank.push_frame(frame, &mut features);
        }
        features
    }
}

/// Adds the voices of those who speak in a window.
fn add_voices(networks: &Networks, features: &[f32], middle: &Range<usize>, window: &mut AnalyzedWindow) {
    for person in 0..PEOPLE {
        let Some((frames, is_clear)) = frames_of(&window.people, person, middle) else { continue };
        let selected: Vec<f32> = (0..WINDOW / filter_bank::STEP - 2)
            .filter(|frame| frames[segmentation_frame(*frame)])
            .flat_map(|frame| &features[frame * filter_bank::BANDS..][..filter_bank::BANDS])
            .copied()
            .collect();
        if selected.len() < MIN_FRAMES * filter_bank::BANDS {
            continue;
        }
        let seconds = seconds_of(&frames) as f32;
        let embedding = networks.embedding.embed(&selected);
        window.voices.push((person, LocalVoice { embedding, seconds, is_clear }));
    }
}

/// Returns the frames to know a person's voice by, and whether nobody else speaks in them; none if the person is silent in
/// the middle of the window, which is up to the windows beside it.
fn frames_of(people: &[u8], person: usize, middle: &Range<usize>) -> Option<(Vec<bool>, bool)> {
    let speaks: Vec<bool> = people.iter().map(|set| set >> person & 1 == 1).collect();
    let alone: Vec<bool> = people.iter().map(|set| *set == 1 << person).collect();
    let in_middle = |frames: &[bool]| -> Vec<bool> {
        frames.iter().enumerate().map(|(nth, frame)| *frame && middle.contains(&nth)).collect()
    };
    if !in_middle(&speaks).contains(&true) {
        return None;
    }
    let alone_in_middle = in_middle(&alone);
    if seconds_of(&alone_in_middle) >= MIN_MIDDLE {
        Some((alone_in_middle, true))
    } else if seconds_of(&alone) >= MIN_ALONE {
        Some((alone, true))
    } else {
        Some((speaks, false))
    }
}

/// Returns the frames that no other window has in its middle; those before or behind too in the first and the last window.
fn middle((is_first, is_last): (bool, bool)) -> Range<usize> {
    let start = if is_first { 0 } else { (WINDOW - STEP) / 2 / FRAME_STEP };
    start..if is_last { FRAMES } else { (WINDOW + STEP) / 2 / FRAME_STEP }
}

fn seconds_of(frames: &[bool]) -> f64 {
    frames.iter().filter(|frame| **frame).count() as f64 * FRAME_STEP as f64 / 16_000.0
}

/// Returns the frame of the segmentation that a frame of the filter bank lies in.
fn segmentation_frame(frame: usize) -> usize {
    let centre = frame * filter_bank::STEP + filter_bank::LENGTH / 2;
    ((centre + FRAME_STEP / 2).saturating_sub(FIELD / 2) / FRAME_STEP).min(FRAMES - 1)
}
