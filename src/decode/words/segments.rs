//! Distributes words to their segments, and reconciles the times of both.

use super::hundredths;
use super::timing::{WordLengths, WordTiming};
use crate::transcript::segment::{Segment, Word};

/// Seconds by which a word may lie outside its segment before the segment's time is preferred.
const TOLERANCE: f64 = 0.5;

/// Gives each segment its words, whose times begin at `offset`, and corrects the times of both. `texts` are the numbers of
/// text tokens of the segments; `last_speech` is the end of the last word before them.
pub fn distribute(
    segments: &mut [Segment],
    texts: &[usize],
    words: Vec<WordTiming>,
    lengths: WordLengths,
    offset: f64,
    mut last_speech: f64,
) {
    let mut rest = words.into_iter();
    for (segment, &tokens) in segments.iter_mut().zip(texts) {
        let (mut own, mut taken) = (Vec::new(), 0);
        while taken < tokens {
            let Some(timing) = rest.next() else { break };
            taken += timing.tokens;
            if !timing.word.is_empty() {
                own.push(Word {
                    start: hundredths(offset + timing.start),
                    end: hundredths(offset + timing.end),
                    word: timing.word,
                    probability: timing.probability,
                    speaker: None,
                });
            }
        }
        if !own.is_empty() {
            shorten_after_a_pause(&mut own, lengths, last_speech);
            reconcile(segment, &mut own, lengths);
            last_speech = segment.end;
        }
        segment.words = Some(own);
    }
}

/// Shortens the first two words after a pause, whose times often include the pause.
fn shorten_after_a_pause(words: &mut [Word], lengths: WordLengths, last_speech: f64) {
    let WordLengths { median, most } = lengths;
    let (first, second) = match words {
        [first, second, ..] => (first, Some(second)),
        [first] => (first, None),
        [] => return,
    };
    let is_long = first.end - first.start > most
        || second.as_ref().is_some_and(|second| second.end - first.start > most * 2.0);
    if first.end - last_speech <= median * 4.0 || !is_long {
        return;
    }
    if let Some(second) = second.filter(|second| second.end - second.start > most) {
        let boundary = (second.end / 2.0).max(second.end - most);
        (first.end, second.start) = (boundary, boundary);
    }
    first.start = (first.end - most).max(0.0);
}

/// Sets a segment's times to those of its words, unless a word at its edge lies far outside.
fn reconcile(segment: &mut Segment, words: &mut [Word], lengths: WordLengths) {
    let median = lengths.median;
    if let Some(first) = words.first_mut() {
        if segment.start < first.end && segment.start - TOLERANCE > first.start {
            first.start = (first.end - median).min(segment.start).max(0.0);
        } else {
            segment.start = first.start;
        }
    }
    if let Some(last) = words.last_mut() {
        if segment.end > last.start && segment.end + TOLERANCE < last.end {
            last.end = (last.start + median).max(segment.end);
        } else {
            segment.end = last.end;
        }
    }
}
