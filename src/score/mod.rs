//! Scores transcripts against references: word and character error rates, timing errors, and who speaks when.

mod edit_distance;
mod gates;
mod json;
mod junit;
pub mod normalise;
mod pairs;
mod rates;
mod speakers;
mod timing;

pub use edit_distance::{EditOp, align};
pub use gates::{Gate, GateResult, Gates};
pub use json::{PairResult, json_report};
pub use junit::junit_report;
pub use normalise::Normaliser;
pub use pairs::{PairPreference, TranscriptPair, find_pairs};
pub use rates::ErrorCounts;
pub use speakers::{
    COLLAR, DiarizationErrors, JaccardErrors, ScoreSource, SpeakerMatrix, SpeakerScore, TurnsByRecording,
    compare_turns, label_dialogue, speaker_word_errors,
};
pub use timing::{TimingErrors, TimingLevel, TimingStatistics};

use crate::import::ImportedTranscript;

/// How one file, or several in total, differ from their references. What a file lacks on either side has no score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    pub text: Option<TextScore>,
    /// Who speaks when.
    pub turns: Option<SpeakerScore>,
    /// Errors in the words of each speaker (cpWER).
    pub speaker_words: Option<ErrorCounts>,
}

/// How the text and the times of one transcript, or of several in total, differ from their references.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextScore {
    pub words: ErrorCounts,
    pub characters: ErrorCounts,
    /// Timing errors, the finest level first; empty without times on both sides.
    pub timings: Vec<TimingErrors>,
}

/// A reference and a hypothesis aligned word by word.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WordAlignment {
    pub reference: Vec<String>,
    pub hypothesis: Vec<String>,
    pub ops: Vec<EditOp>,
}

/// Compares the text and times of two transcripts.
pub fn score(
    reference: &ImportedTranscript,
    hypothesis: &ImportedTranscript,
    normaliser: &Normaliser,
) -> (TextScore, WordAlignment) {
    let (reference_text, hypothesis_text) =
        (normaliser.words(&reference.text), normaliser.words(&hypothesis.text));
    let (characters, aligned) = rayon::join(
        || {
            let [reference, hypothesis] =
                [&reference_text, &hypothesis_text].map(|text| text.chars().collect::<Vec<char>>());
            ErrorCounts::of(&align(&reference, &hypothesis))
        },
        || {
            let [reference, hypothesis] = [&reference_text, &hypothesis_text]
                .map(|text| text.split_whitespace().collect::<Vec<&str>>());
            let ops = align(&reference, &hypothesis);
            let [reference, hypothesis] =
                [reference, hypothesis].map(|words| words.into_iter().map(str::to_owned).collect());
            WordAlignment { reference, hypothesis, ops }
        },
    );
    let timings = timing::compare(reference, hypothesis, normaliser);
    (TextScore { words: ErrorCounts::of(&aligned.ops), characters, timings }, aligned)
}

impl Score {
    /// Adds another score, weighting each word and each second equally.
    pub fn add(&mut self, other: &Score) {
        if let Some(text) = &other.text {
            self.text.get_or_insert_default().add(text);
        }
        if let Some(turns) = &other.turns {
            self.turns.get_or_insert_default().add(turns);
        }
        if let Some(words) = other.speaker_words {
            *self.speaker_words.get_or_insert_default() += words;
        }
    }
}

impl TextScore {
    /// Adds another score, weighting each word and each time equally.
    pub fn add(&mut self, other: &TextScore) {
        self.words += other.words;
        self.characters += other.characters;
        for timing in &other.timings {
            match self.timings.iter_mut().find(|existing| existing.level == timing.level) {
                Some(existing) => existing.add(timing),
                None => self.timings.push(timing.clone()),
            }
        }
        self.timings.sort_by_key(|timing| timing.level);
    }
}

#[cfg(test)]
mod tests;
