//! Diarization error rate and Jaccard error rate of the turns of one recording, as md-eval and pyannote.metrics count them.
//!
//! Everything from the start of the recording to the end of the last turn of both sides is scored, with overlaps: where
//! three people speak and two are found, one is missed. Turns of one speaker that overlap count once.

use std::ops::AddAssign;

use super::assignment::assign;
use super::intervals::TimeSet;
use crate::transcript::SpeakerTurns;

/// Seconds on both sides of each start and end of a reference turn that the forgiving rate leaves out; the usual value.
pub const COLLAR: f64 = 0.25;

/// Seconds of speakers by kind of error.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DiarizationErrors {
    /// What the speakers of the reference speak in total.
    pub reference: f64,
    /// Somebody speaks, and nobody is found.
    pub missed: f64,
    /// Somebody is found, and nobody speaks.
    pub false_alarm: f64,
    /// Somebody speaks, and somebody else is found.
    pub confused: f64,
}

/// Jaccard errors of the speakers of the reference, each of whom counts the same.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JaccardErrors {
    /// For each speaker a value from 0 (found exactly) to 1 (not found), added up.
    pub sum: f64,
    pub speakers: usize,
}

/// Who was taken for whom in one recording.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpeakerMatrix {
    /// The recording's name, where a file has several.
    pub recording: Option<String>,
    /// Names and seconds of the speakers.
    pub reference: Vec<(String, f64)>,
    pub hypothesis: Vec<(String, f64)>,
    /// Seconds in which a reference speaker (row) and a hypothesis speaker (column) both speak.
    pub shared: Vec<Vec<f64>>,
    /// The hypothesis speaker that each reference speaker is matched with.
    pub matches: Vec<Option<usize>>,
}

impl DiarizationErrors {
    pub fn errors(&self) -> f64 {
        self.missed + self.false_alarm + self.confused
    }

    /// Returns the diarization error rate. Without speech in the reference it is 1 if anything was found.
    pub fn error_rate(&self) -> f64 {
        self.fraction(self.errors())
    }

    /// Returns a number of seconds as a fraction of the reference's.
    pub fn fraction(&self, seconds: f64) -> f64 {
        match self.reference > 0.0 {
            true => seconds / self.reference,
            false if seconds > 0.0 => 1.0,
            false => 0.0,
        }
    }
}

impl AddAssign for DiarizationErrors {
    fn add_assign(&mut self, other: Self) {
        self.reference += other.reference;
        self.missed += other.missed;
        self.false_alarm += other.false_alarm;
        self.confused += other.confused;
    }
}

impl JaccardErrors {
    /// Returns the Jaccard error rate: the mean over the speakers.
    pub fn error_rate(&self) -> f64 {
        if self.speakers == 0 { 0.0 } else { self.sum / self.speakers as f64 }
    }
}

impl AddAssign for JaccardErrors {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.speakers += other.speakers;
    }
}

/// The turns of one side: the moments at which each speaker speaks.
pub struct SpeakerTimes {
    names: Vec<String>,
    times: Vec<TimeSet>,
}

impl SpeakerTimes {
    pub fn of(turns: &SpeakerTurns) -> Self {
        let mut spans = vec![Vec::new(); turns.speakers.len()];
        for turn in &turns.turns {
            spans[turn.speaker].push((turn.start.max(0.0), turn.end));
        }
        let named = turns.speakers.iter().zip(spans);
        let named = named.map(|(speaker, spans)| (speaker.name.clone(), TimeSet::new(spans)));
        // A speaker who never speaks is none.
        let (names, times) = named.filter(|(_, times)| times.iter().next().is_some()).unzip();
        SpeakerTimes { names, times }
    }

    pub fn count(&self) -> usize {
        self.names.len()
    }

    fn named_seconds(&self) -> Vec<(String, f64)> {
        self.names.iter().cloned().zip(self.times.iter().map(TimeSet::seconds)).collect()
    }
}

/// Returns the errors without what lies within `collar` seconds of a start or end in the reference.
pub fn errors(reference: &SpeakerTimes, hypothesis: &SpeakerTimes, collar: f64) -> DiarizationErrors {
    let edges = reference.times.iter().flat_map(TimeSet::iter).flat_map(|(start, end)| [start, end]);
    let unscored = TimeSet::new(edges.map(|edge| (edge - collar, edge + collar)));
    let scored = |side: &SpeakerTimes| -> Vec<TimeSet> {
        side.times.iter().map(|times| times.without(&unscored)).collect()
    };
    let (reference, hypothesis) = (scored(reference), scored(hypothesis));
    let shared = shared_seconds(&reference, &hypothesis);
    let matched = matches(&shared);
    let correct: f64 =
        matched.iter().zip(&shared).filter_map(|(column, seconds)| Some(seconds[(*column)?])).sum();
    let mut found = DiarizationErrors::default();
    let mut both = 0.0;
    for (seconds, speaking, heard) in counts(&reference, &hypothesis) {
        found.reference += seconds * speaking as f64;
        found.missed += seconds * speaking.saturating_sub(heard) as f64;
        found.false_alarm += seconds * heard.saturating_sub(speaking) as f64;
        both += seconds * speaking.min(heard) as f64;
    }
    // What is left by subtraction may be off by a rounding error; below a nanosecond it is none.
    let confused = both - correct;
    found.confused = if confused < 1e-9 { 0.0 } else { confused };
    found
}

/// Returns who was taken for whom, with everything scored.
pub fn matrix(
    recording: Option<String>,
    reference: &SpeakerTimes,
    hypothesis: &SpeakerTimes,
) -> SpeakerMatrix {
    let shared = shared_seconds(&reference.times, &hypothesis.times);
    SpeakerMatrix {
        recording,
        matches: matches(&shared),
        reference: reference.named_seconds(),
        hypothesis: hypothesis.named_seconds(),
        shared,
    }
}

/// Returns the Jaccard errors of the matched speakers, as pyannote.metrics does.
pub fn jaccard(matrix: &SpeakerMatrix) -> JaccardErrors {
    let error = |(row, column): (usize, &Option<usize>)| {
        let Some(column) = *column else { return 1.0 };
        let shared = matrix.shared[row][column];
        1.0 - shared / (matrix.reference[row].1 + matrix.hypothesis[column].1 - shared)
    };
    let sum = matrix.matches.iter().enumerate().map(error).sum();
    JaccardErrors { sum, speakers: matrix.reference.len() }
}

fn shared_seconds(reference: &[TimeSet], hypothesis: &[TimeSet]) -> Vec<Vec<f64>> {
    let row = |times: &TimeSet| hypothesis.iter().map(|other| times.seconds_shared(other)).collect();
    reference.iter().map(row).collect()
}

/// Returns the one-to-one matches with the most shared seconds. Those who share none are not matched.
fn matches(shared: &[Vec<f64>]) -> Vec<Option<usize>> {
    // Microseconds, so that sums are exact, within what the assignment takes.
    let cost = |seconds: &f64| -((seconds * 1e6).min(1e15).round() as i64);
    let costs: Vec<Vec<i64>> = shared.iter().map(|row| row.iter().map(cost).collect()).collect();
    let speaks = |(column, row): (Option<usize>, &Vec<f64>)| column.filter(|column| row[*column] > 0.0);
    assign(&costs).into_iter().zip(shared).map(speaks).collect()
}

/// Returns for each stretch its seconds and how many speakers of either side speak.
fn counts(
    reference: &[TimeSet],
    hypothesis: &[TimeSet],
) -> impl Iterator<Item = (f64, usize, usize)> + use<> {
    let mut edges: Vec<(f64, isize, isize)> = Vec::new();
    for (start, end) in reference.iter().flat_map(TimeSet::iter) {
        edges.extend([(start, 1, 0), (end, -1, 0)]);
    }
    for (start, end) in hypothesis.iter().flat_map(TimeSet::iter) {
        edges.extend([(start, 0, 1), (end, 0, -1)]);
    }
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut before, mut speaking, mut heard) = (0.0, 0_isize, 0_isize);
    edges.into_iter().map(move |(at, reference, hypothesis)| {
        let stretch = (at - before, speaking.max(0) as usize, heard.max(0) as usize);
        before = at;
        speaking += reference;
        heard += hypothesis;
        stretch
    })
}
