//! Words and when they are said within a window, before anything is known of segments.

use super::super::tokenizer::Tokenizer;
use super::{Alignment, dtw, split};

/// A timestamp's ticks in a second.
const TICKS: f64 = 50.0;
/// No word is held for longer on average.
const LONGEST_MEDIAN: f64 = 0.7;
/// At these a pause is likely, which the network tends to count as part of the word.
const SENTENCE_ENDS: &str = ".。!！?？";

/// A word in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Empty once it was joined to a neighbour.
    pub word: String,
    pub tokens: usize,
    pub start: f64,
    pub end: f64,
    pub probability: f64,
}

/// How long words are in a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lengths {
    pub median: f64,
    /// Longer than this is hardly one word.
    pub most: f64,
}

/// The words of a text and when they are said.
pub fn timings(
    tokenizer: &Tokenizer,
    text: &[u32],
    without_blanks: bool,
    alignment: &Alignment,
) -> Vec<Timing> {
    let entered = dtw::first_columns(&alignment.attention, alignment.ticks);
    // One row more than there are tokens: where the last one ends.
    let seconds = |token: usize| entered.get(token).or(entered.last()).map_or(0.0, |at| *at as f64 / TICKS);
    let mut first = 0;
    let timing = |word: split::Spelled| {
        let tokens = first..first + word.tokens;
        first = tokens.end;
        let likely = alignment.probabilities.get(tokens.clone()).unwrap_or_default();
        let sum: f64 = likely.iter().map(|probability| f64::from(*probability)).sum();
        Timing {
            word: word.text,
            tokens: word.tokens,
            start: seconds(tokens.start),
            end: seconds(tokens.end),
            probability: sum / likely.len().max(1) as f64,
        }
    };
    split::words(tokenizer, text, without_blanks).into_iter().map(timing).collect()
}

/// How long the words are, those without length left out.
pub fn lengths(words: &[Timing]) -> Lengths {
    let mut lengths: Vec<f64> =
        words.iter().map(|word| word.end - word.start).filter(|d| *d != 0.0).collect();
    lengths.sort_by(f64::total_cmp);
    let half = lengths.len() / 2;
    let median = match lengths.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => lengths[half],
        _ => (lengths[half - 1] + lengths[half]) / 2.0,
    };
    let median = LONGEST_MEDIAN.min(median);
    Lengths { median, most: median * 2.0 }
}

/// Takes from words beside the end of a sentence the pause that they seem to last.
pub fn shorten_at_sentence_ends(words: &mut [Timing], lengths: Lengths) {
    if words.iter().all(|word| word.end == word.start) {
        return;
    }
    for i in 1..words.len() {
        if words[i].end - words[i].start <= lengths.most {
            continue;
        }
        if SENTENCE_ENDS.contains(&words[i].word) {
            words[i].end = words[i].start + lengths.most;
        } else if SENTENCE_ENDS.contains(&words[i - 1].word) {
            words[i].start = words[i].end - lengths.most;
        }
    }
}

/// Joins marks to the words they belong to: those in `prepended` to the next one, those in `appended` to the one
/// before. What was joined stays in its place without text and tokens.
pub fn merge_punctuation(words: &mut [Timing], prepended: &str, appended: &str) {
    let mut next = words.len().saturating_sub(1);
    for i in (0..next).rev() {
        let mark = &words[i].word;
        if mark.starts_with(' ') && prepended.contains(super::super::text::strip(mark)) {
            let mark = std::mem::take(&mut words[i].word);
            words[next].word.insert_str(0, &mark);
            words[next].tokens += std::mem::take(&mut words[i].tokens);
        } else {
            next = i;
        }
    }
    let mut previous = 0;
    for i in 1..words.len() {
        if !words[previous].word.ends_with(' ') && appended.contains(&words[i].word) {
            let mark = std::mem::take(&mut words[i].word);
            words[previous].word.push_str(&mark);
            words[previous].tokens += std::mem::take(&mut words[i].tokens);
        } else {
            previous = i;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(word: &str, start: f64, end: f64) -> Timing {
        Timing { word: word.into(), tokens: 1, start, end, probability: 1.0 }
    }

    fn merged(words: &[&str]) -> Vec<(String, usize)> {
        let mut words: Vec<_> = words.iter().map(|word| timing(word, 0.0, 0.0)).collect();
        merge_punctuation(&mut words, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、");
        words.into_iter().map(|word| (word.word, word.tokens)).collect()
    }

    #[test]
    fn marks_go_to_the_words_they_belong_to() {
        let pairs = |of: &[(&str, usize)]| of.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(merged(&[" \"", "Yes", ",", "\""]), pairs(&[("", 0), (" \"Yes,\"", 4), ("", 0), ("", 0)]));
        // Without a blank before it a mark does not go to the next word.
        assert_eq!(merged(&[" a", "(", "b"]), pairs(&[(" a", 1), ("(", 1), ("b", 1)]));
        // Part of the list counts, and so does nothing at all.
        assert_eq!(merged(&[" a", ".。", " ", " b"]), pairs(&[(" a.。", 2), ("", 0), ("", 0), ("  b", 2)]));
        assert_eq!(merged(&[]), []);
        assert_eq!(merged(&["."]), pairs(&[(".", 1)]));
    }

    #[test]
    fn the_usual_length_leaves_out_words_without_any() {
        let of = |ends: &[f64]| lengths(&ends.iter().map(|end| timing("a", 0.0, *end)).collect::<Vec<_>>());
        assert_eq!(of(&[0.0, 0.2, 0.0, 0.4]), Lengths { median: (0.2 + 0.4) / 2.0, most: 0.2 + 0.4 });
        assert_eq!(of(&[0.1, 0.3, 9.0]).median, 0.3);
        assert_eq!(of(&[5.0]).median, 0.7);
        assert_eq!(of(&[0.0]).median, 0.0);
    }
}
