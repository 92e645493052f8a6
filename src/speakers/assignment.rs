//! Turns → the speakers of segments and words. A segment in which the speaker changes is split there.

use crate::transcript::{Segment, SpeakerTurns, Word};

/// A change of speaker moves to the end of a sentence that is at most so many words and seconds away: the times of words and
/// turns are not that exact.
const NEAR_WORDS: usize = 2;
const NEAR_SECONDS: f64 = 0.6;
/// A few words of somebody else inside a sentence, a back-channel, do not split it.
const BACK_CHANNEL_WORDS: usize = 2;
const BACK_CHANNEL_SECONDS: f64 = 0.8;

/// Names the speakers of all segments and words, and splits segments where the speaker changes.
pub fn assign(turns: &SpeakerTurns, segments: Vec<Segment>) -> Vec<Segment> {
    let lookup = Lookup::new(turns);
    let mut assigned = Vec::with_capacity(segments.len());
    let mut before = None;
    for segment in segments {
        let Some(words) = segment.words.as_ref().filter(|words| !words.is_empty()) else {
            let speaker = lookup.speaker(segment.start, segment.end, None);
            let has_text = !segment.text.trim().is_empty();
            before = speaker.or(before);
            assigned
                .push(Segment { speaker: speaker.filter(|_| has_text).map(|s| lookup.name(s)), ..segment });
            continue;
        };
        let mut speakers: Vec<Option<usize>> = Vec::with_capacity(words.len());
        for word in words {
            let speaker = lookup.speaker(word.start, word.end, before);
            before = speaker.or(before);
            speakers.push(speaker);
        }
        move_to_sentences(words, &mut speakers);
        assigned.extend(split(segment, &speakers, &lookup));
    }
    assigned.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
    assigned
}

/// The turns of each speaker, to look times up in.
struct Lookup<'a> {
    turns: &'a SpeakerTurns,
    /// Start and end of each turn, by speaker.
    by_speaker: Vec<Vec<(f64, f64)>>,
}

impl<'a> Lookup<'a> {
    fn new(turns: &'a SpeakerTurns) -> Self {
        let mut by_speaker = vec![Vec::new(); turns.speakers.len()];
        for turn in &turns.turns {
            by_speaker[turn.speaker].push((turn.start, turn.end));
        }
        Lookup { turns, by_speaker }
    }

    fn name(&self, speaker: usize) -> String {
        self.turns.speakers[speaker].name.clone()
    }

    /// Returns who speaks between two times: whoever spoke before, if for most of the time, or else who speaks longest; the
    /// closest speaker if nobody does.
    fn speaker(&self, start: f64, end: f64, before: Option<usize>) -> Option<usize> {
        let overlaps: Vec<f64> = self.by_speaker.iter().map(|turns| overlap(turns, start, end)).collect();
        if let Some(before) = before.filter(|before| overlaps[*before] > 0.5 * (end - start).max(1e-3)) {
            return Some(before);
        }
        let best = (0..overlaps.len()).rev().max_by(|a, b| overlaps[*a].total_cmp(&overlaps[*b]))?;
        if overlaps[best] > 0.0 {
            return Some(best);
        }
        let distances: Vec<f64> = self.by_speaker.iter().map(|turns| distance(turns, start, end)).collect();
        (0..distances.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b]))
    }
}

/// Returns the seconds of turns between two times.
fn overlap(turns: &[(f64, f64)], start: f64, end: f64) -> f64 {
    let first = turns.partition_point(|turn| turn.1 <= start);
    let within = turns[first..].iter().take_while(|turn| turn.0 < end);
    within.map(|turn| turn.1.min(end) - turn.0.max(start)).sum()
}

/// Returns the seconds to the closest turn.
fn distance(turns: &[(f64, f64)], start: f64, end: f64) -> f64 {
    let next = turns.partition_point(|turn| turn.1 <= start);
    let after = turns.get(next).map_or(f64::INFINITY, |turn| (turn.0 - end).max(0.0));
    let before = next.checked_sub(1).map_or(f64::INFINITY, |last| (start - turns[last].1).max(0.0));
    after.min(before)
}

/// Moves changes of speaker to the ends of sentences near them.
fn move_to_sentences(words: &[Word], speakers: &mut [Option<usize>]) {
    let mut change = 1;
    while change < words.len() {
        if speakers[change] == speakers[change - 1] {
            change += 1;
            continue;
        }
        let near = change.saturating_sub(NEAR_WORDS).max(1)..=(change + NEAR_WORDS).min(words.len() - 1);
        let at = words[change].start;
        let is_near =
            |word: &usize| ends_sentence(&words[word - 1]) && (words[*word].start - at).abs() <= NEAR_SECONDS;
        let Some(end) = near.filter(is_near).min_by_key(|word| word.abs_diff(change)) else {
            change += 1;
            continue;
        };
        // Only a change between two speakers moves, not one of three.
        if end < change && speakers[end..change].iter().all(|speaker| *speaker == speakers[change - 1]) {
            let speaker = speakers[change];
            speakers[end..change].fill(speaker);
        } else if end > change && speakers[change..end].iter().all(|speaker| *speaker == speakers[change]) {
            let speaker = speakers[change - 1];
            speakers[change..end].fill(speaker);
        }
        change = change.max(end) + 1;
    }
}

fn ends_sentence(word: &Word) -> bool {
    let text =
        word.word.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '”' | '’'));
    text.ends_with(['.', '!', '?', '…', '。', '！', '？'])
}

/// Splits a segment in which several people speak.
fn split(segment: Segment, speakers: &[Option<usize>], lookup: &Lookup<'_>) -> Vec<Segment> {
    let words = segment.words.clone().unwrap_or_default();
    let mut parts = runs(speakers);
    absorb_back_channels(&words, speakers, &mut parts);
    let name = |speaker: Option<usize>| speaker.map(|speaker| lookup.name(speaker));
    let labelled = |part: &std::ops::Range<usize>| -> Vec<Word> {
        let of_part = words[part.clone()].iter().zip(&speakers[part.clone()]);
        of_part.map(|(word, speaker)| Word { speaker: name(*speaker), ..word.clone() }).collect()
    };
    if let [part] = parts.as_slice() {
        let speaker = name(main_speaker(&words, speakers, part));
        return vec![Segment { speaker, words: Some(labelled(part)), ..segment }];
    }
    let count = parts.len();
    let part = |(nth, part): (usize, std::ops::Range<usize>)| {
        let own = labelled(&part);
        Segment {
            start: if nth == 0 { segment.start } else { own[0].start },
            end: if nth + 1 == count { segment.end } else { own[own.len() - 1].end },
            text: own.iter().map(|word| word.word.as_str()).collect(),
            speaker: name(main_speaker(&words, speakers, &part)),
            words: Some(own),
            // Which tokens belong to which part is not known.
            tokens: Vec::new(),
            ..segment.clone()
        }
    };
    parts.into_iter().enumerate().map(part).collect()
}

/// Returns the runs of words of one speaker.
fn runs(speakers: &[Option<usize>]) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (nth, speaker) in speakers.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if speakers[run.start] == *speaker => run.end = nth + 1,
            _ => runs.push(nth..nth + 1),
        }
    }
    runs
}

/// Joins what one person says before and behind a few words of somebody else, unless a sentence ends there.
fn absorb_back_channels(words: &[Word], speakers: &[Option<usize>], parts: &mut Vec<std::ops::Range<usize>>) {
    let mut nth = 1;
    while nth + 1 < parts.len() {
        let (before, own, after) = (&parts[nth - 1], &parts[nth], &parts[nth + 1]);
        let seconds = words[own.end - 1].end - words[own.start].start;
        let is_back_channel = own.len() <= BACK_CHANNEL_WORDS && seconds <= BACK_CHANNEL_SECONDS;
        let goes_on = !ends_sentence(&words[before.end - 1]);
        if is_back_channel && goes_on && speakers[before.start] == speakers[after.start] {
            parts[nth - 1].end = after.end;
            parts.drain(nth..nth + 2);
        } else {
            nth += 1;
        }
    }
}

/// Returns who speaks longest in a part.
fn main_speaker(words: &[Word], speakers: &[Option<usize>], part: &std::ops::Range<usize>) -> Option<usize> {
    let seconds = |speaker: Option<usize>| -> f64 {
        let own = part.clone().filter(|nth| speakers[*nth] == speaker);
        own.map(|nth| words[nth].end - words[nth].start + 1e-3).sum()
    };
    let named = part.clone().filter_map(|nth| speakers[nth]);
    named.max_by(|a, b| seconds(Some(*a)).total_cmp(&seconds(Some(*b))).then(b.cmp(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of words of half a second each, from a text whose words are separated by blanks.
    fn segment(start: f64, text: &str) -> Segment {
        let words: Vec<Word> = text
            .split(' ')
            .enumerate()
            .map(|(nth, word)| Word {
                word: format!(" {word}"),
                start: start + 0.5 * nth as f64,
                end: start + 0.5 * nth as f64 + 0.5,
                probability: 1.0,
                speaker: None,
            })
            .collect();
        let end = words[words.len() - 1].end;
        Segment {
            start,
            end,
            text: format!(" {text}"),
            tokens: vec![1],
            words: Some(words),
            ..Segment::default()
        }
    }

    fn assigned(turns: &[(f64, f64, &str)], segments: Vec<Segment>) -> Vec<(String, String)> {
        let turns = turns.iter().map(|(start, end, name)| (*start, *end, (*name).to_owned()));
        let assigned = assign(&SpeakerTurns::from_named(turns), segments);
        assert!(assigned.iter().enumerate().all(|(id, segment)| segment.id == id));
        let shown = |s: Segment| (s.speaker.unwrap_or_default(), s.text.trim().to_owned());
        assigned.into_iter().map(shown).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(speaker, text)| ((*speaker).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn segments_are_split_where_the_speaker_changes() {
        let turns = [(0.0, 2.0, "Anna"), (2.0, 4.0, "Ben")];
        let found = assigned(&turns, vec![segment(0.0, "how are you today I am very well")]);
        assert_eq!(found, pairs(&[("Anna", "how are you today"), ("Ben", "I am very well")]));
    }

    #[test]
    fn changes_move_to_the_ends_of_sentences() {
        for change in [1.5, 2.0, 2.5] {
            let turns = [(0.0, change, "Anna"), (change, 4.0, "Ben")];
            let found = assigned(&turns, vec![segment(0.0, "how are you today? I am very well")]);
            assert_eq!(
                found,
                pairs(&[("Anna", "how are you today?"), ("Ben", "I am very well")]),
                "{change}"
            );
        }
    }

    #[test]
    fn back_channels_do_not_tear_sentences() {
        let turns = [(0.0, 4.0, "Anna"), (1.0, 1.5, "Ben")];
        let text = "and then yeah I went home again";
        assert_eq!(assigned(&turns, vec![segment(0.0, text)]), pairs(&[("Anna", text)]));
        let turns = [(0.0, 1.0, "Anna"), (1.0, 1.5, "Ben"), (1.5, 4.0, "Anna")];
        assert_eq!(assigned(&turns, vec![segment(0.0, text)]), pairs(&[("Anna", text)]));
        let text = "and then. Yeah. I went home again";
        let expected = [("Anna", "and then."), ("Ben", "Yeah."), ("Anna", "I went home again")];
        assert_eq!(assigned(&turns, vec![segment(0.0, text)]), pairs(&expected));
    }

    #[test]
    fn everything_with_text_has_the_closest_speaker() {
        let turns = [(1.0, 2.0, "Anna"), (8.0, 9.0, "Ben")];
        let segments = vec![
            Segment { words: None, ..segment(0.0, "early") },
            segment(6.0, "late"),
            Segment { text: String::new(), words: Some(Vec::new()), ..segment(7.0, "nothing") },
        ];
        assert_eq!(assigned(&turns, segments), pairs(&[("Anna", "early"), ("Ben", "late"), ("", "")]));
        assert_eq!(assigned(&[], vec![segment(0.0, "nobody")]), pairs(&[("", "nobody")]));
    }

    #[test]
    fn the_text_stays_the_same() {
        let turns = [(0.0, 0.7, "Anna"), (0.7, 1.9, "Ben"), (1.9, 2.6, "Cleo"), (2.2, 9.0, "Anna")];
        let turns = SpeakerTurns::from_named(turns.map(|(start, end, name)| (start, end, name.to_owned())));
        let whole = segment(0.0, "one two. three four five six? seven eight nine ten");
        let parts = assign(&turns, vec![whole.clone()]);
        assert!(parts.len() > 2);
        assert_eq!(parts.iter().map(|part| part.text.as_str()).collect::<String>(), whole.text);
        assert_eq!((parts[0].start, parts[parts.len() - 1].end), (whole.start, whole.end));
    }
}
