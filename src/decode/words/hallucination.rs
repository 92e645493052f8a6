//! Hallucinations: words that are too long, too short or too unlikely, with silence on both sides.

use crate::time::{WINDOW_FRAMES, seconds_of_frames};
use crate::transcript::segment::{Segment, Word};

/// Punctuation does not count as words.
const PUNCTUATION: &str = "\"'“¿([{-\"'.。,，!！?？:：”)]}、";
/// Words of a segment that are examined.
const WORDS: usize = 8;
/// Score from which a segment is suspicious, however many words it has.
const SUSPICIOUS: f64 = 3.0;
/// Seconds from an edge of the window that count as silence.
const EDGE: f64 = 2.0;

/// The window whose segments are examined, in seconds of the input.
#[derive(Debug, Clone, Copy)]
pub struct WindowTimes {
    pub start: f64,
    /// End of the audio in it.
    pub end: f64,
    pub last_speech: f64,
    /// Longer silence is skipped.
    pub threshold: f64,
}

impl WindowTimes {
    fn window_end(&self) -> f64 {
        self.start + seconds_of_frames(WINDOW_FRAMES as u64)
    }
}

/// What to do about hallucinated text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HallucinationVerdict {
    Keep,
    /// The text begins with it after this much silence: drop the text and skip the silence.
    Skip {
        silence: f64,
    },
    /// Drop all segments from this one on. The next window begins at `from`; `end` is the end of the first of them.
    Drop {
        index: usize,
        from: f64,
        end: f64,
    },
}

/// Scores how anomalous a word is.
fn anomaly_score(word: &Word) -> f64 {
    const SHORT: f64 = 0.133;
    const LONG: f64 = 2.0;
    let duration = word.end - word.start;
    let mut score = 0.0;
    if word.probability < 0.15 {
        score += 1.0;
    }
    if duration < SHORT {
        score += (SHORT - duration) * 15.0;
    }
    if duration > LONG {
        score += duration - LONG;
    }
    score
}

fn words(segment: &Segment) -> &[Word] {
    segment.words.as_deref().unwrap_or_default()
}

fn is_suspicious(segment: &Segment) -> bool {
    if words(segment).is_empty() {
        return false;
    }
    let counted = words(segment).iter().filter(|word| !PUNCTUATION.contains(&word.word)).take(WORDS);
    let (count, score) = counted.fold((0.0, 0.0), |(n, score), word| (n + 1.0, score + anomaly_score(word)));
    score >= SUSPICIOUS || score + 0.01 >= count
}

/// Looks for anomalous text with silence around it.
pub fn judge(segments: &[Segment], window: &WindowTimes) -> HallucinationVerdict {
    let WindowTimes { start, end, last_speech, threshold } = *window;
    let spoken = |segments: &[Segment]| segments.iter().position(|segment| !words(segment).is_empty());
    if let Some(first) = spoken(segments).filter(|first| is_suspicious(&segments[*first])) {
        let silence = segments[first].start - start;
        if silence > threshold {
            return HallucinationVerdict::Skip { silence };
        }
    }
    let mut last_end = last_speech;
    for (index, segment) in segments.iter().enumerate().filter(|(_, segment)| !words(segment).is_empty()) {
        if is_suspicious(segment) {
            let next = spoken(&segments[index + 1..]).map(|next| &segments[index + 1 + next]);
            let next_start = next.map_or(end, |next| words(next)[0].start);
            let silence_before = segment.start - last_end > threshold
                || segment.start < threshold
                || segment.start - start < EDGE;
            let silence_after = next_start - segment.end > threshold
                || next.is_some_and(is_suspicious)
                || window.window_end() - segment.end < EDGE;
            if silence_before && silence_after {
                return HallucinationVerdict::Drop {
                    index,
                    from: segment.start.max(start + 1.0),
                    end: segment.end,
                };
            }
        }
        last_end = segment.end;
    }
    HallucinationVerdict::Keep
}
