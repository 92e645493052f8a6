//! Who of a window is which speaker, and the turns that follow from all windows.

use super::analysis::AnalyzedWindow;
use super::clustering::{closest, similarity};
use super::segmentation::{FIELD, FRAME_STEP, FRAMES, PEOPLE};
use crate::time::seconds_of_samples;

/// Seconds of a pause up to which a speaker's turn goes on.
pub const MAX_PAUSE: f64 = 0.7;

/// Returns the turns of each speaker, `(start, end, index of the centre)`, from the windows in the order of time.
pub fn turns(windows: &[AnalyzedWindow], centres: &[Vec<f32>], duration: f64) -> Vec<(f64, f64, usize)> {
    let mut timeline = Timeline::new(centres.len());
    for window in windows {
        timeline.add(window, &speakers_of(window, centres));
    }
    let mut turns = timeline.finish();
    turns.retain_mut(|(start, end, _)| {
        *start = start.max(0.0);
        *end = end.min(duration);
        start < end
    });
    turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.2.cmp(&b.2)));
    turns
}

/// Returns the speaker of each of a window's people: the closest, but no two of them the same while there are enough
/// speakers.
fn speakers_of(window: &AnalyzedWindow, centres: &[Vec<f32>]) -> [Option<usize>; PEOPLE] {
    let mut found = [None; PEOPLE];
    let voices = &window.voices;
    if voices.len() > centres.len() {
        for (person, voice) in voices {
            found[*person] = Some(closest(&voice.embedding, centres)).filter(|_| !centres.is_empty());
        }
        return found;
    }
    let mut best = (f32::NEG_INFINITY, Vec::new());
    choose(window, centres, &mut Vec::new(), 0.0, &mut best);
    for ((person, _), speaker) in voices.iter().zip(best.1) {
        found[*person] = Some(speaker);
    }
    found
}

/// Tries all ways to give the people from here on different speakers.
fn choose(
    window: &AnalyzedWindow,
    centres: &[Vec<f32>],
    chosen: &mut Vec<usize>,
    sum: f32,
    best: &mut (f32, Vec<usize>),
) {
    let Some((_, voice)) = window.voices.get(chosen.len()) else {
        if sum > best.0 {
            *best = (sum, chosen.clone());
        }
        return;
    };
    for (speaker, centre) in centres.iter().enumerate() {
        if !chosen.contains(&speaker) {
            chosen.push(speaker);
            choose(window, centres, chosen, sum + similarity(&voice.embedding, centre), best);
            chosen.pop();
        }
    }
}

/// Adds up what overlapping windows say of each frame, and closes frames that no later window covers.
struct Timeline {
    speakers: usize,
    /// Weights of the frames of a window: its middle knows most.
    hamming: Vec<f32>,
    /// The first frame that is open.
    first: usize,
    /// For each open frame: what the windows say of each speaker, how many speak, and their weights.
    scores: Vec<f32>,
    counts: Vec<f32>,
    weights: Vec<f32>,
    /// The turn of each speaker that the next frame may continue: its first frame, and the frame behind it.
    open: Vec<Option<(usize, usize)>>,
    turns: Vec<(f64, f64, usize)>,
}

impl Timeline {
    fn new(speakers: usize) -> Self {
        let angle = |frame: usize| std::f32::consts::TAU * frame as f32 / (FRAMES - 1) as f32;
        Timeline {
            speakers,
            hamming: (0..FRAMES).map(|frame| 0.55 - 0.46 * angle(frame).cos()).collect(),
            first: 0,
            scores: Vec::new(),
            counts: Vec::new(),
            weights: Vec::new(),
            open: vec![None; speakers],
            turns: Vec::new(),
        }
    }

    fn add(&mut self, window: &AnalyzedWindow, speakers: &[Option<usize>; PEOPLE]) {
        let first = (window.first_sample as f64 / FRAME_STEP as f64).round() as usize;
        self.close_before(first);
        self.scores.resize(FRAMES * self.speakers, 0.0);
        self.counts.resize(FRAMES, 0.0);
        self.weights.resize(FRAMES, 0.0);
        for (frame, &people) in window.people.iter().enumerate() {
            let weight = self.hamming[frame];
            self.counts[frame] += weight * people.count_ones() as f32;
            self.weights[frame] += weight;
            let scores = &mut self.scores[frame * self.speakers..][..self.speakers];
            let mut added = 0_u64;
            for (person, speaker) in speakers.iter().enumerate() {
                if let Some(speaker) =
                    speaker.filter(|speaker| people >> person & 1 == 1 && added >> speaker & 1 == 0)
                {
                    scores[speaker] += weight;
                    added |= 1 << speaker;
                }
            }
        }
    }

    /// Closes the frames before this one.
    fn close_before(&mut self, frame: usize) {
        let count = (frame - self.first).min(self.counts.len());
        for nth in 0..count {
            self.close(nth);
        }
        self.scores.drain(..count * self.speakers);
        self.counts.drain(..count);
        self.weights.drain(..count);
        self.first = frame;
    }

    /// Continues or begins the turns of the likeliest speakers of a frame.
    fn close(&mut self, nth: usize) {
        let speaking = (self.counts[nth] / self.weights[nth]).round() as usize;
        if speaking == 0 {
            return;
        }
        let scores = &self.scores[nth * self.speakers..][..self.speakers];
        let mut ranked: Vec<usize> = (0..self.speakers).filter(|speaker| scores[*speaker] > 0.0).collect();
        ranked.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let frame = self.first + nth;
        for speaker in ranked.into_iter().take(speaking) {
            self.open[speaker] = match self.open[speaker] {
                Some((first, end)) if pause(end, frame) <= MAX_PAUSE => Some((first, frame + 1)),
                ended => {
                    self.turns.extend(ended.map(|turn| timed(turn, speaker)));
                    Some((frame, frame + 1))
                }
            };
        }
    }

    fn finish(mut self) -> Vec<(f64, f64, usize)> {
        self.close_before(self.first + self.counts.len());
        for (speaker, turn) in self.open.iter().enumerate() {
            self.turns.extend(turn.map(|turn| timed(turn, speaker)));
        }
        self.turns
    }
}

fn pause(end: usize, frame: usize) -> f64 {
    seconds_of_samples(((frame - end) * FRAME_STEP) as u64)
}

/// Returns the seconds of a turn. The middle of a frame is that of the samples that it depends on.
fn timed((first, end): (usize, usize), speaker: usize) -> (f64, f64, usize) {
    let seconds = |frame: usize| {
        seconds_of_samples((frame * FRAME_STEP + FIELD / 2) as u64)
            - seconds_of_samples(FRAME_STEP as u64 / 2)
    };
    (seconds(first), seconds(end), speaker)
}
