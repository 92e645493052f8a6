//! Moves the times of words to where somebody speaks: the network's attention spreads over the pause beside a word.

use std::ops::Range;

use crate::chunking::SpeechMap;
use crate::time::{frame_at, seconds_of_frames};
use crate::transcript::segment::{Segment, Word};

/// Frames with a lower speech probability are silence.
const SPEECH: f32 = 0.5;
/// Silence of fewer frames is part of speech.
const MIN_SILENCE: usize = 10;
/// No word spans silence of so many frames.
const PAUSE: usize = 30;
/// A word beside a pause reaches up to it if no more frames of speech than this lie between.
const REACH: usize = 50;
/// Fewer frames of speech beside a pause are too short for a word.
const MIN_WORD: usize = 5;
/// Frames around the words that are examined.
const AROUND: usize = 200;

/// A word's place in the recording, in frames.
#[derive(Debug, Clone, Copy, PartialEq)]
struct WordFrames {
    start: usize,
    end: usize,
    /// Whether a clause ends with it.
    ends_clause: bool,
}

/// Moves the words of a window, and the segments with them.
pub fn to_speech(segments: &mut [Segment], speech: &SpeechMap) {
    let words = || segments.iter().flat_map(|segment| segment.words.iter().flatten());
    let mut placed: Vec<WordFrames> = words().map(WordFrames::of).collect();
    let (Some(first), Some(end)) = (placed.first(), placed.iter().map(|word| word.end).max()) else { return };
    let pauses = speech.silences(first.start.saturating_sub(AROUND)..end + AROUND, SPEECH, MIN_SILENCE);
    for at in 0..placed.len() {
        let follows_clause = at > 0 && placed[at - 1].ends_clause;
        pauses.iter().for_each(|pause| placed[at].leave(pause, follows_clause));
    }
    pauses.iter().for_each(|pause| fill_up_to(&mut placed, pause));

    let mut placed = placed.into_iter();
    for segment in segments {
        let Some(words) = segment.words.as_mut().filter(|words| !words.is_empty()) else { continue };
        for (word, place) in words.iter_mut().zip(&mut placed) {
            // Times that did not change keep their bits.
            if frame_at(word.start) != place.start {
                word.start = seconds_of_frames(place.start as u64);
            }
            if frame_at(word.end) != place.end {
                word.end = seconds_of_frames(place.end as u64);
            }
        }
        segment.start = words.first().map_or(segment.start, |word| word.start);
        segment.end = words.last().map_or(segment.end, |word| word.end);
    }
}

impl WordFrames {
    fn of(word: &Word) -> Self {
        let start = frame_at(word.start);
        let text = word.word.trim_end_matches(['"', '\'', '”', '’', '»', ')', ']', '」', '』']);
        let ends_clause =
            text.ends_with(['.', ',', '?', '!', ';', ':', '…', '。', '，', '、', '？', '！', '；']);
        WordFrames { start, end: frame_at(word.end).max(start), ends_clause }
    }

    /// Takes a pause out of the word. If the word has speech on both sides of a long one, a clause that ends here or
    /// before decides which of them it is, otherwise the longer one.
    fn leave(&mut self, pause: &Range<usize>, follows_clause: bool) {
        if pause.start >= self.end || pause.end <= self.start {
            return;
        }
        let before = pause.start.saturating_sub(self.start);
        let after = self.end.saturating_sub(pause.end);
        match (before, after) {
            (0, 0) => {}
            (0, _) => self.start = pause.end,
            (_, 0) => self.end = pause.start,
            _ if pause.len() < PAUSE => {}
            _ => {
                let is_before = match (self.ends_clause, follows_clause) {
                    (true, false) => before >= MIN_WORD,
                    (false, true) => after < MIN_WORD,
                    _ => before >= after,
                };
                if is_before { self.end = pause.start } else { self.start = pause.end }
            }
        }
    }
}

/// Lets the words on both sides of a pause reach up to it.
fn fill_up_to(words: &mut [WordFrames], pause: &Range<usize>) {
    let next = words.partition_point(|word| word.start < pause.end);
    let (before, after) = words.split_at_mut(next);
    let last = before.last_mut();
    if last.as_ref().is_some_and(|last| last.end > pause.start) {
        return;
    }
    if let Some(last) = last.filter(|last| pause.start - last.end <= REACH) {
        last.end = pause.start;
    }
    if let Some(first) = after.first_mut().filter(|first| first.start - pause.end <= REACH) {
        first.start = pause.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per tenth of a second: speech is `#`.
    fn map(speech: &str) -> SpeechMap {
        let frames = speech.chars().flat_map(|c| [if c == '#' { 0.9 } else { 0.1 }; 10]);
        SpeechMap::new(0, frames.collect())
    }

    /// Returns the times of words after they were moved, in tenths of a second.
    fn moved(speech: &str, words: &[(&str, f64, f64)]) -> Vec<(f64, f64)> {
        let words = words.iter().map(|(word, start, end)| Word {
            word: (*word).into(),
            start: start / 10.0,
            end: end / 10.0,
            probability: 1.0,
            speaker: None,
        });
        let mut segments = [Segment { words: Some(words.collect()), ..Segment::default() }];
        to_speech(&mut segments, &map(speech));
        let [Segment { start, end, words: Some(words), .. }] = &segments else { unreachable!() };
        assert_eq!((*start, *end), (words[0].start, words[words.len() - 1].end));
        words.iter().map(|word| ((word.start * 10.0).round(), (word.end * 10.0).round())).collect()
    }

    #[test]
    fn words_leave_the_pauses_around_them() {
        // The word begins in the pause before it, and ends in the one behind it.
        assert_eq!(moved("....####....", &[(" ask", 0.0, 12.0)]), [(4.0, 8.0)]);
        assert_eq!(
            moved("###....###..", &[(" you", 0.0, 3.0), (" can", 3.0, 10.0)]),
            [(0.0, 3.0), (7.0, 10.0)]
        );
        // Short silence is part of a word, and of what is silence all over nothing is known.
        assert_eq!(moved("###.###", &[(" but", 0.0, 7.0)]), [(0.0, 7.0)]);
        assert_eq!(moved("#.......#", &[(" uh", 2.0, 5.0)]), [(2.0, 5.0)]);
    }

    #[test]
    fn a_pause_inside_a_word_is_left_on_the_likelier_side() {
        let sides =
            |first: &str, second: &str| moved("####....##", &[(first, 0.0, 2.0), (second, 2.0, 10.0)])[1];
        assert_eq!(sides(" my", " fellow"), (2.0, 4.0));
        assert_eq!(sides(" not,", " fellow"), (8.0, 10.0));
        assert_eq!(sides(" my", " fellow."), (2.0, 4.0));
        assert_eq!(moved("#....###", &[(" so", 0.0, 8.0)]), [(5.0, 8.0)]);
    }

    #[test]
    fn words_reach_up_to_the_pause_beside_them() {
        assert_eq!(
            moved("#####.....#####", &[(" a", 0.0, 3.0), (" b", 12.0, 15.0)]),
            [(0.0, 5.0), (10.0, 15.0)]
        );
        // More than half a second may be another word.
        assert_eq!(
            moved("#########....#", &[(" a", 0.0, 2.0), (" b", 13.0, 14.0)]),
            [(0.0, 2.0), (13.0, 14.0)]
        );
    }

    proptest::proptest! {
        #[test]
        fn order_and_lengths_stay_right(
            speech in "[#.]{0,60}",
            lengths in proptest::collection::vec((0.0..9.0_f64, 0.0..3.0_f64), 1..20),
        ) {
            let mut now = 0.0;
            let words: Vec<(&str, f64, f64)> = lengths.iter().map(|(length, gap)| {
                let start = (now + gap).round();
                now = (start + length).round();
                (" a", start, now)
            }).collect();
            let moved = moved(&speech, &words);
            assert!(moved.iter().all(|(start, end)| start <= end), "{moved:?}");
            assert!(moved.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{words:?} {moved:?}");
        }
    }
}
