//! Timing errors of words that match in both transcripts.

use super::edit_distance::{EditOp, align};
use super::normalise::Normaliser;
use crate::import::ImportedTranscript;

/// The unit that the times belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimingLevel {
    /// Word times on both sides.
    Words,
    /// Segment times on at least one side; the other side may have word times.
    Segments,
}

/// Errors in seconds, hypothesis minus reference, in no particular order.
#[derive(Debug, Clone, PartialEq)]
pub struct TimingErrors {
    pub level: TimingLevel,
    pub starts: Vec<f64>,
    pub ends: Vec<f64>,
}

/// Statistics of timing errors, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimingStatistics {
    pub count: usize,
    /// Mean of the absolute errors, as are the next three.
    pub mean: f64,
    pub median: f64,
    /// The 95th percentile.
    pub p95: f64,
    pub max: f64,
    /// The mean of the signed errors: positive is late.
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
    pub fn add(&mut self, other: &TimingErrors) {
        self.starts.extend(&other.starts);
        self.ends.extend(&other.ends);
    }

    /// Returns the statistics of starts and ends together.
    pub fn statistics(&self) -> Option<TimingStatistics> {
        TimingStatistics::of(&[self.starts.as_slice(), &self.ends].concat())
    }
}

impl TimingStatistics {
    pub fn of(errors: &[f64]) -> Option<Self> {
        let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let max = *sizes.last()?;
        let count = sizes.len();
        // Interpolates linearly, as numpy does.
        let percentile = |part: f64| {
            let position = part * (count - 1) as f64;
            let (low, high) = (sizes[position.floor() as usize], sizes[position.ceil() as usize]);
            low + (high - low) * position.fract()
        };
        let mean = |values: &[f64]| values.iter().sum::<f64>() / count as f64;
        Some(Self {
            count,
            mean: mean(&sizes),
            median: percentile(0.5),
            p95: percentile(0.95),
            max,
            bias: mean(errors),
        })
    }
}

/// A word, with a time if it starts or ends a timed unit.
struct TimedToken {
    text: String,
    start: Option<f64>,
    end: Option<f64>,
}

/// Returns the words of all timed units. Each unit is normalised on its own, so that words with different times cannot
/// merge into one number.
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

/// Compares the times at every level that both transcripts have.
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
    let (mut reference_tokens, mut hypothesis_tokens) = (reference.iter(), hypothesis.iter());
    for op in align(&texts(reference), &texts(hypothesis)) {
        let reference = if op == EditOp::Insertion { None } else { reference_tokens.next() };
        let hypothesis = if op == EditOp::Deletion { None } else { hypothesis_tokens.next() };
        if let (EditOp::Hit, Some(reference), Some(hypothesis)) = (op, reference, hypothesis) {
            let error = |actual: Option<f64>, expected: Option<f64>| {
                actual.zip(expected).map(|(actual, expected)| actual - expected)
            };
            timing.starts.extend(error(hypothesis.start, reference.start));
            timing.ends.extend(error(hypothesis.end, reference.end));
        }
    }
    timing
}
