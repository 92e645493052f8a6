//! By how much times are off: those of words that both transcripts have in the same place.

use super::edit_distance::{EditOp, align};
use super::normalise::Normaliser;
use crate::import::ImportedTranscript;

/// What the times belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimingLevel {
    /// Of words, on both sides.
    Words,
    /// Of segments, on at least one side; the other's may be those of words.
    Segments,
}

/// Hypothesis less reference, in seconds, in no order.
#[derive(Debug, Clone, PartialEq)]
pub struct TimingErrors {
    pub level: TimingLevel,
    pub starts: Vec<f64>,
    pub ends: Vec<f64>,
}

/// Many errors in a few numbers, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimingStatistics {
    pub count: usize,
    /// Of the absolute errors, as the next three.
    pub mean: f64,
    pub median: f64,
    /// 95 of 100 are not larger.
    pub p95: f64,
    pub max: f64,
    /// The mean of the errors with their sign: above 0 is too late.
    pub bias: f64,
}

impl TimingLevel {
    pub fn name(self) -> &'static str {
        match self {
            TimingLevel::Words => "words",
            TimingLevel::Segments => "segments",
        }
    }
}

impl TimingErrors {
    pub fn add(&mut self, more: &TimingErrors) {
        self.starts.extend(&more.starts);
        self.ends.extend(&more.ends);
    }

    /// Starts and ends together.
    pub fn all(&self) -> Option<TimingStatistics> {
        TimingStatistics::of(&[self.starts.as_slice(), &self.ends].concat())
    }
}

impl TimingStatistics {
    pub fn of(errors: &[f64]) -> Option<Self> {
        let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let max = *sizes.last()?;
        let count = sizes.len();
        // Between two values in proportion, as numpy does.
        let at = |part: f64| {
            let place = part * (count - 1) as f64;
            let (low, high) = (sizes[place.floor() as usize], sizes[place.ceil() as usize]);
            low + (high - low) * place.fract()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count as f64;
        Some(Self { count, mean: mean(&sizes), median: at(0.5), p95: at(0.95), max, bias: mean(errors) })
    }
}

/// A word, with a time where it begins or ends something timed.
struct TimedToken {
    text: String,
    start: Option<f64>,
    end: Option<f64>,
}

/// What is timed, the words inside normalised on their own: neighbours with other times cannot melt into one number.
fn tokens(transcript: &ImportedTranscript, level: TimingLevel, normaliser: &Normaliser) -> Vec<TimedToken> {
    let segments = transcript.segments.iter();
    let timed: Vec<(&str, Option<f64>, Option<f64>)> = match level {
        TimingLevel::Words => segments
            .flat_map(|segment| &segment.words)
            .map(|word| (word.text.as_str(), word.start, word.end))
            .collect(),
        TimingLevel::Segments => {
            segments.map(|segment| (segment.text.as_str(), segment.start, segment.end)).collect()
        }
    };
    let mut tokens = Vec::new();
    for (text, start, end) in timed {
        let first = tokens.len();
        let text = normaliser.words(text);
        let words = text.split_whitespace();
        tokens.extend(words.map(|text| TimedToken { text: text.to_owned(), start: None, end: None }));
        if let Some(token) = tokens.get_mut(first) {
            token.start = start;
        }
        if let Some(token) = tokens[first..].last_mut() {
            token.end = end;
        }
    }
    tokens
}

/// The levels that both have.
pub fn compare(
    reference: &ImportedTranscript,
    hypothesis: &ImportedTranscript,
    normaliser: &Normaliser,
) -> Vec<TimingErrors> {
    if !reference.is_timed() || !hypothesis.is_timed() {
        return Vec::new();
    }
    let at = |level, other| {
        let reference = tokens(reference, level, normaliser);
        let hypothesis = tokens(hypothesis, other, normaliser);
        errors(TimingLevel::max(level, other), &reference, &hypothesis)
    };
    let segments = TimingLevel::Segments;
    match (reference.has_words(), hypothesis.has_words()) {
        (true, true) => vec![at(TimingLevel::Words, TimingLevel::Words), at(segments, segments)],
        (true, false) => vec![at(TimingLevel::Words, segments)],
        (false, true) => vec![at(segments, TimingLevel::Words)],
        (false, false) => vec![at(segments, segments)],
    }
}

fn errors(level: TimingLevel, reference: &[TimedToken], hypothesis: &[TimedToken]) -> TimingErrors {
    fn texts(tokens: &[TimedToken]) -> Vec<&str> {
        tokens.iter().map(|token| token.text.as_str()).collect()
    }
    let mut timing = TimingErrors { level, starts: Vec::new(), ends: Vec::new() };
    let (mut said, mut heard) = (reference.iter(), hypothesis.iter());
    for step in align(&texts(reference), &texts(hypothesis)) {
        let said = if step == EditOp::Insertion { None } else { said.next() };
        let heard = if step == EditOp::Deletion { None } else { heard.next() };
        if let (EditOp::Hit, Some(said), Some(heard)) = (step, said, heard) {
            let error =
                |heard: Option<f64>, said: Option<f64>| heard.zip(said).map(|(heard, said)| heard - said);
            timing.starts.extend(error(heard.start, said.start));
            timing.ends.extend(error(heard.end, said.end));
        }
    }
    timing
}
