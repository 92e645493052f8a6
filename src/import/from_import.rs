//! Converts imported transcripts to [`Transcript`]s, estimating missing times from neighbouring ones.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::speakers::{stored_turns, turns_of};
use super::{ImportedSegment, ImportedTranscript, ImportedWord};
use crate::decode::Language;
use crate::transcript::{
    ModelIdentity, Quality, Segment, SkipReason, Skipped, SpeakerTurns, Transcript, Word,
};

/// Seconds of silence that end a sentence when segments are built from single words.
const SENTENCE_PAUSE: f64 = 1.0;
/// Maximum words in such a segment.
const MAX_WORDS: usize = 40;

/// Parses the JSON of openai/whisper or this program with all its metadata; None for any other JSON.
pub fn from_openai_json(source: &str, json: &[u8]) -> Option<Transcript> {
    let stored: StoredTranscript = serde_json::from_slice(json).ok()?;
    let StoredTranscript {
        text, language, segments, source: stored_source, duration, model, partial, ..
    } = stored;
    let ends = segments.iter().map(|segment| segment.end).fold(0.0, f64::max);
    let speakers: Option<SpeakerTurns> =
        stored_turns(stored.speakers, stored.turns).or_else(|| turns_of(&segments));
    let identity = |StoredModel { name, revision }| ModelIdentity { name, revision };
    Some(Transcript {
        source: stored_source.unwrap_or_else(|| source.to_owned()),
        duration: duration.unwrap_or(ends),
        model: model.map(identity).unwrap_or_default(),
        language: language.unwrap_or_default(),
        text,
        segments,
        language_probability: stored.language_probability,
        languages: stored.languages.into_iter().collect(),
        skipped: stored.skipped.iter().filter_map(StoredSkip::skipped).collect(),
        quality: stored.quality,
        speakers,
        is_partial: partial,
        ..Transcript::default()
    })
}

/// A transcript as stored; the required fields are those of openai's program.
#[derive(Deserialize)]
struct StoredTranscript {
    text: String,
    language: Option<String>,
    segments: Vec<Segment>,
    source: Option<String>,
    duration: Option<f64>,
    model: Option<StoredModel>,
    language_probability: Option<f64>,
    #[serde(default)]
    languages: BTreeMap<String, f64>,
    #[serde(default)]
    skipped: Vec<StoredSkip>,
    quality: Option<Quality>,
    #[serde(default)]
    speakers: Value,
    #[serde(default)]
    turns: Value,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct StoredSkip {
    start: f64,
    end: f64,
    why: String,
}

impl StoredSkip {
    fn skipped(&self) -> Option<Skipped> {
        SkipReason::named(&self.why).map(|why| Skipped { start: self.start, end: self.end, why })
    }
}

#[derive(Deserialize)]
struct StoredModel {
    name: String,
    revision: Option<String>,
}

/// Builds a transcript of `source` from an import.
pub fn to_transcript(source: String, imported: ImportedTranscript) -> Transcript {
    let ImportedTranscript { language, text, segments } = imported;
    // Some programs write the language's name instead of its code.
    let language = language.map(|name| match name.parse::<Language>() {
        Ok(language) => language.code().to_owned(),
        Err(_) => name,
    });
    let segments = if are_words(&segments) { join_sentences(segments) } else { segments };
    let segments = fill_times(segments);
    let ends = segments.iter().map(|segment| segment.end);
    Transcript {
        source,
        speakers: turns_of(&segments),
        duration: ends.fold(0.0, f64::max),
        language: language.unwrap_or_default(),
        text,
        segments,
        ..Transcript::default()
    }
}

/// Returns whether every segment is a single word.
fn are_words(segments: &[ImportedSegment]) -> bool {
    let is_word =
        |segment: &ImportedSegment| segment.words.len() == 1 && segment.words[0].text == segment.text;
    segments.len() > 1 && segments.iter().all(is_word)
}

/// Joins single words to sentences.
fn join_sentences(words: Vec<ImportedSegment>) -> Vec<ImportedSegment> {
    let mut sentences: Vec<ImportedSegment> = Vec::new();
    let mut is_open = false;
    for word in words {
        let ends = word.text.trim_end().ends_with(['.', '!', '?', '。', '！', '？', '…']);
        match sentences.last_mut() {
            Some(last)
                if is_open
                    && !has_pause(last, &word)
                    && last.words.len() < MAX_WORDS
                    && last.speaker == word.speaker =>
            {
                last.text.push_str(&word.text);
                last.end = word.end.or(word.start);
                last.words.extend(word.words);
            }
            _ => sentences.push(word),
        }
        is_open = !ends;
    }
    sentences
}

fn has_pause(before: &ImportedSegment, word: &ImportedSegment) -> bool {
    before.end.zip(word.start).is_some_and(|(end, start)| start - end >= SENTENCE_PAUSE)
}

/// Fills in missing times from neighbouring segments and words.
fn fill_times(segments: Vec<ImportedSegment>) -> Vec<Segment> {
    let starts: Vec<Option<f64>> = segments.iter().map(start_of).collect();
    let mut now = 0.0;
    let mut made = Vec::with_capacity(segments.len());
    for (id, segment) in segments.into_iter().enumerate() {
        let start = starts[id].unwrap_or(now);
        let last = segment.words.iter().rev().find_map(|word| word.end.or(word.start));
        let next = starts.get(id + 1).copied().flatten();
        let end = segment.end.or(last).or(next).unwrap_or(start).max(start);
        now = end;
        let has_times = segment.words.iter().any(|word| word.start.or(word.end).is_some());
        let words =
            has_times.then(|| restore_spelling(fill_word_times(&segment.words, start, end), &segment.text));
        let ImportedSegment { text, speaker, .. } = segment;
        made.push(Segment { id, start, end, text, speaker, words, ..Segment::default() });
    }
    made
}

fn start_of(segment: &ImportedSegment) -> Option<f64> {
    segment.start.or_else(|| segment.words.iter().find_map(|word| word.start))
}

/// Distributes words without times, such as numbers, evenly between their neighbours.
fn fill_word_times(words: &[ImportedWord], start: f64, end: f64) -> Vec<Word> {
    let mut made: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let before = made.last().map_or(start, |word| word.end);
        let untimed = words[at..].iter().take_while(|word| word.start.is_none()).count();
        let after = words.get(at + untimed).map_or(end, |word| word.start.unwrap_or(end)).max(before);
        let share = (after - before) / untimed.max(1) as f64;
        for (index, word) in words[at..at + untimed].iter().enumerate() {
            let start = before + share * index as f64;
            made.push(timed_word(word, start, word.end.unwrap_or(start + share)));
        }
        at += untimed;
        if let Some((word, start)) = words.get(at).and_then(|word| Some((word, word.start?))) {
            let next = words.get(at + 1).and_then(|next| next.start).unwrap_or(start);
            made.push(timed_word(word, start, word.end.unwrap_or(next)));
            at += 1;
        }
    }
    made
}

fn timed_word(word: &ImportedWord, start: f64, end: f64) -> Word {
    let probability = word.probability.unwrap_or_default();
    Word { word: word.text.clone(), start, end, probability, speaker: word.speaker.clone() }
}

/// Restores the spaces and punctuation of the text in words that came without them.
fn restore_spelling(mut words: Vec<Word>, text: &str) -> Vec<Word> {
    let joined: String = words.iter().map(|word| word.word.as_str()).collect();
    if joined.trim() == text.trim() {
        return words;
    }
    if let Some(spellings) = split_at_words(&words, text) {
        words.iter_mut().zip(spellings).for_each(|(word, spelling)| word.word = spelling);
    } else if !joined.trim().contains(char::is_whitespace) && text.trim().contains(char::is_whitespace) {
        words.iter_mut().for_each(|word| word.word.insert(0, ' '));
    }
    words
}

/// Splits the text before each word; None if the text lacks a word.
fn split_at_words(words: &[Word], text: &str) -> Option<Vec<String>> {
    let mut cuts = Vec::with_capacity(words.len());
    let mut at = 0;
    for word in words {
        let bare = word.word.trim();
        let found = at + text.get(at..)?.find(bare)?;
        // Punctuation directly before a word belongs to it, everything else to the previous word.
        let between = &text[at..found];
        let space =
            between.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(space, _)| at + space);
        cuts.push(if cuts.is_empty() { 0 } else { space.unwrap_or(found) });
        at = found + bare.len();
    }
    let ends = cuts.iter().skip(1).copied().chain([text.len()]);
    Some(cuts.iter().zip(ends).map(|(start, end)| text[*start..end].to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{ImportFormat, parse};

    fn read(json: &str) -> Transcript {
        to_transcript("talk.json".into(), parse(ImportFormat::Json, json.as_bytes()).unwrap())
    }

    fn words(transcript: &Transcript) -> Vec<(&str, f64, f64)> {
        let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
        words.map(|word| (word.word.as_str(), word.start, word.end)).collect()
    }

    #[test]
    fn restores_spaces_punctuation_and_times_of_words() {
        let read = read(
            r#"{"language": "english", "segments": [{"start": 0, "end": 4, "text": " I paid 5 €, (two) times.", "words": [
            {"word": "I", "start": 0.5, "end": 1}, {"word": "paid", "start": 1, "end": 2}, {"word": "5"}, {"word": "€"},
            {"word": "two", "start": 3}, {"word": "times", "end": 4}]}]}"#,
        );
        let expected = [
            (" I", 0.5, 1.0),
            (" paid", 1.0, 2.0),
            (" 5", 2.0, 2.5),
            (" €,", 2.5, 3.0),
            (" (two)", 3.0, 3.0),
            (" times.", 3.0, 4.0),
        ];
        assert_eq!(words(&read), expected);
        assert_eq!((read.language.as_str(), read.duration), ("en", 4.0));
    }

    #[test]
    fn keeps_words_that_the_text_lacks() {
        let read = read(
            r#"{"segments": [{"start": 0, "end": 2, "text": "a b", "words": [{"word": "x", "start": 0, "end": 1},
            {"word": "y", "start": 1, "end": 2}]}]}"#,
        );
        assert_eq!(words(&read), [(" x", 0.0, 1.0), (" y", 1.0, 2.0)]);
    }

    #[test]
    fn joins_single_words_to_sentences() {
        let read = read(
            r#"{"text": " Hi you. Me too", "chunks": [{"timestamp": [0, 0.5], "text": " Hi"}, {"timestamp": [0.5, null], "text": " you."},
            {"timestamp": [1, 2], "text": " Me"}, {"timestamp": [4, null], "text": " too"}]}"#,
        );
        let texts: Vec<&str> = read.segments.iter().map(|segment| segment.text.as_str()).collect();
        assert_eq!(texts, [" Hi you.", " Me", " too"]);
        let times: Vec<(f64, f64)> = read.segments.iter().map(|s| (s.start, s.end)).collect();
        assert_eq!(times, [(0.0, 0.5), (1.0, 2.0), (4.0, 4.0)]);
    }
}
