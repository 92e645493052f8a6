//! Concatenated minimum-permutation word error rate (cpWER): the texts of each speaker joined and compared with those of the
//! speaker that fits best.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::MAX_SPEAKERS;
use super::assignment::assign;
use crate::import::ImportedTranscript;
use crate::score::{ErrorCounts, Normaliser, align};

/// Returns the errors; none if either side names no speakers, or more of them than can be matched. Text without a speaker
/// is that of one more speaker. The words of speakers without counterpart are deletions or insertions.
pub fn errors(
    reference: &ImportedTranscript,
    hypothesis: &ImportedTranscript,
    normaliser: &Normaliser,
) -> Option<ErrorCounts> {
    let (reference, hypothesis) = (texts(reference, normaliser)?, texts(hypothesis, normaliser)?);
    let size = reference.len().max(hypothesis.len());
    if size > MAX_SPEAKERS {
        return None;
    }
    // Whoever has no counterpart is compared with somebody who says nothing.
    let words = |texts: &[String], index: usize| -> Vec<String> {
        let text = texts.get(index).map(String::as_str).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let [reference, hypothesis] = [reference, hypothesis]
        .map(|texts| (0..size).map(|index| words(&texts, index)).collect::<Vec<Vec<String>>>());
    let row = |reference: &Vec<String>| -> Vec<ErrorCounts> {
        hypothesis.iter().map(|hypothesis| ErrorCounts::of(&align(reference, hypothesis))).collect()
    };
    let counts: Vec<Vec<ErrorCounts>> = reference.par_iter().map(row).collect();
    let costs: Vec<Vec<i64>> =
        counts.iter().map(|row| row.iter().map(|counts| counts.errors() as i64).collect()).collect();
    let mut total = ErrorCounts::default();
    for (row, column) in counts.iter().zip(assign(&costs)) {
        total += column.map(|column| row[column]).unwrap_or_default();
    }
    Some(total)
}

/// Returns the normalised text of each speaker in the order of time; none if no speaker is named.
fn texts(transcript: &ImportedTranscript, normaliser: &Normaliser) -> Option<Vec<String>> {
    transcript.segments.iter().find(|segment| segment.speaker.is_some())?;
    let mut segments: Vec<_> = transcript.segments.iter().collect();
    if segments.iter().all(|segment| segment.start.is_some()) {
        segments.sort_by(|a, b| a.start.unwrap_or_default().total_cmp(&b.start.unwrap_or_default()));
    }
    let mut by_speaker: BTreeMap<Option<&str>, String> = BTreeMap::new();
    for segment in segments {
        let text = by_speaker.entry(segment.speaker.as_deref()).or_default();
        text.push(' ');
        text.push_str(&segment.text);
    }
    let texts = by_speaker.into_values().map(|text| normaliser.words(&text).trim().to_owned());
    Some(texts.filter(|text| !text.is_empty()).collect())
}
