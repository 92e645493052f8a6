//! Transcripts compared: how many words and characters differ, and by how much the times are off.

mod edit_distance;
mod gates;
mod json;
mod junit;
pub mod normalise;
mod pairs;
mod rates;
mod timing;

pub use edit_distance::{EditOp, align};
pub use gates::{Gate, GateResult, Gates};
pub use json::{PairResult, json_report};
pub use junit::junit_report;
pub use normalise::Normaliser;
pub use pairs::{TranscriptPair, find_pairs};
pub use rates::ErrorCounts;
pub use timing::{TimingErrors, TimingLevel, TimingStatistics};

use crate::import::ImportedTranscript;

/// How one transcript, or several together, differ from the truth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    pub words: ErrorCounts,
    pub characters: ErrorCounts,
    /// The finest level first; none without times on both sides.
    pub timings: Vec<TimingErrors>,
}

/// A reference and a hypothesis word by word.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WordAlignment {
    pub reference: Vec<String>,
    pub hypothesis: Vec<String>,
    pub steps: Vec<EditOp>,
}

/// Compares what was said, and when.
pub fn score(
    reference: &ImportedTranscript,
    hypothesis: &ImportedTranscript,
    normaliser: &Normaliser,
) -> (Score, WordAlignment) {
    let (said, heard) = (normaliser.words(&reference.text), normaliser.words(&hypothesis.text));
    let (characters, aligned) = rayon::join(
        || {
            let [said, heard] = [&said, &heard].map(|text| text.chars().collect::<Vec<char>>());
            ErrorCounts::of(&align(&said, &heard))
        },
        || {
            let [said, heard] = [&said, &heard].map(|text| text.split_whitespace().collect::<Vec<&str>>());
            let steps = align(&said, &heard);
            let [reference, hypothesis] =
                [said, heard].map(|words| words.into_iter().map(str::to_owned).collect());
            WordAlignment { reference, hypothesis, steps }
        },
    );
    let timings = timing::compare(reference, hypothesis, normaliser);
    (Score { words: ErrorCounts::of(&aligned.steps), characters, timings }, aligned)
}

impl Score {
    /// Both together, each word and each time counting as much as any other.
    pub fn add(&mut self, more: &Score) {
        self.words += more.words;
        self.characters += more.characters;
        for timing in &more.timings {
            match self.timings.iter_mut().find(|known| known.level == timing.level) {
                Some(known) => known.add(timing),
                None => self.timings.push(timing.clone()),
            }
        }
        self.timings.sort_by_key(|timing| timing.level);
    }
}

#[cfg(test)]
mod tests;
