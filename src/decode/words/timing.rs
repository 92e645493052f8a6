//! Words and their times within a window, before they are distributed to segments.

use super::super::tokenizer::Tokenizer;
use super::{Alignment, dtw, split};

/// Ticks per second.
const TICKS: f64 = 50.0;
/// Upper bound of the median word length, in seconds.
const LONGEST_MEDIAN: f64 = 0.7;
/// Marks that a pause is likely to follow, which the network tends to count as part of the word.
const SENTENCE_ENDS: &str = ".。!！?？";

/// A word, with times in seconds from the window's start.
#[derive(Debug, Clone, PartialEq)]
pub struct WordTiming {
    /// Empty once it was merged into a neighbour.
    pub word: String,
    pub tokens: usize,
    pub start: f64,
    pub end: f64,
    pub probability: f64,
}

/// Typical word lengths of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WordLengths {
    pub median: f64,
    /// Words longer than this are suspicious.
    pub most: f64,
}

/// Returns the words of a text with their times.
pub fn timings(
    tokenizer: &Tokenizer,
    text: &[u32],
    without_spaces: bool,
    alignment: &Alignment,
) -> Vec<WordTiming> {
    let entered = dtw::first_columns(&alignment.attention, alignment.ticks);
    // There is one row more than tokens: the end of the last token.
    let seconds = |token: usize| entered.get(token).or(entered.last()).map_or(0.0, |at| *at as f64 / TICKS);
    let mut first = 0;
    let timing = |word: split::SplitWord| {
        let tokens = first..first + word.tokens;
        first = tokens.end;
        let likely = alignment.probabilities.get(tokens.clone()).unwrap_or_default();
        let sum: f64 = likely.iter().map(|probability| f64::from(*probability)).sum();
        WordTiming {
            word: word.text,
            tokens: word.tokens,
            start: seconds(tokens.start),
            end: seconds(tokens.end),
            probability: sum / likely.len().max(1) as f64,
        }
    };
    split::words(tokenizer, text, without_spaces).into_iter().map(timing).collect()
}

/// Returns the typical length of the words that have any.
pub fn lengths(words: &[WordTiming]) -> WordLengths {
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
    WordLengths { median, most: median * 2.0 }
}

/// Shortens words next to the end of a sentence whose times include the pause.
pub fn shorten_at_sentence_ends(words: &mut [WordTiming], lengths: WordLengths) {
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

/// Merges punctuation into the words it belongs to: marks in `prepended` into the next word, marks in `appended` into
/// the previous one. The merged mark stays in the list without text and tokens.
pub fn merge_punctuation(words: &mut [WordTiming], prepended: &str, appended: &str) {
    let mut next = words.len().saturating_sub(1);
    for i in (0..next).rev() {
        let mark = &words[i].word;
        if mark.starts_with(' ') && prepended.contains(super::super::strip(mark)) {
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

    fn timing(word: &str, start: f64, end: f64) -> WordTiming {
        WordTiming { word: word.into(), tokens: 1, start, end, probability: 1.0 }
    }

    fn merged(words: &[&str]) -> Vec<(String, usize)> {
        let mut words: Vec<_> = words.iter().map(|word| timing(word, 0.0, 0.0)).collect();
        merge_punctuation(&mut words, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、");
        words.into_iter().map(|word| (word.word, word.tokens)).collect()
    }

    #[test]
    fn merges_punctuation_into_the_words_it_belongs_to() {
        let pairs = |of: &[(&str, usize)]| of.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(merged(&[" \"", "Yes", ",", "\""]), pairs(&[("", 0), (" \"Yes,\"", 4), ("", 0), ("", 0)]));
        // A mark without a leading space is not merged into the next word.
        assert_eq!(merged(&[" a", "(", "b"]), pairs(&[(" a", 1), ("(", 1), ("b", 1)]));
        // Any substring of the list counts, the empty one too.
        assert_eq!(merged(&[" a", ".。", " ", " b"]), pairs(&[(" a.。", 2), ("", 0), ("", 0), ("  b", 2)]));
        assert_eq!(merged(&[]), []);
        assert_eq!(merged(&["."]), pairs(&[(".", 1)]));
    }

    #[test]
    fn typical_lengths_ignore_words_without_length() {
        let of = |ends: &[f64]| lengths(&ends.iter().map(|end| timing("a", 0.0, *end)).collect::<Vec<_>>());
        assert_eq!(of(&[0.0, 0.2, 0.0, 0.4]), WordLengths { median: (0.2 + 0.4) / 2.0, most: 0.2 + 0.4 });
        assert_eq!(of(&[0.1, 0.3, 9.0]).median, 0.3);
        assert_eq!(of(&[5.0]).median, 0.7);
        assert_eq!(of(&[0.0]).median, 0.0);
    }
}
