//! What another program, or this one, has written down → a transcript: what is missing is guessed from what is
//! beside it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::decode::Language;
use crate::import::{ImportedSegment, ImportedTranscript, ImportedWord};
use crate::transcript::{ModelIdentity, Quality, Segment, SkipReason, Skipped, Transcript, Word};

/// Seconds of silence after which words that stand alone are another sentence.
const PAUSE: f64 = 1.0;
/// Words in a segment that has no end of a sentence.
const MOST_WORDS: usize = 40;

/// A result as openai's program and this one write it, with all that they know of it; none if it is another.
pub fn openais(source: &str, json: &[u8]) -> Option<Transcript> {
    let own: Own = serde_json::from_slice(json).ok()?;
    let Own { text, language, segments, source: named, duration, model, partial, .. } = own;
    let ends = segments.iter().map(|segment| segment.end).fold(0.0, f64::max);
    let identity = |Model { name, revision }| ModelIdentity { name, revision };
    Some(Transcript {
        source: named.unwrap_or_else(|| source.to_owned()),
        duration: duration.unwrap_or(ends),
        model: model.map(identity).unwrap_or_default(),
        language: language.unwrap_or_default(),
        text,
        segments,
        language_probability: own.language_probability,
        languages: own.languages.into_iter().collect(),
        skipped: own.skipped.iter().filter_map(Skip::skipped).collect(),
        quality: own.quality,
        is_partial: partial,
        ..Transcript::default()
    })
}

/// What is not optional is openai's.
#[derive(Deserialize)]
struct Own {
    text: String,
    language: Option<String>,
    segments: Vec<Segment>,
    source: Option<String>,
    duration: Option<f64>,
    model: Option<Model>,
    language_probability: Option<f64>,
    #[serde(default)]
    languages: BTreeMap<String, f64>,
    #[serde(default)]
    skipped: Vec<Skip>,
    quality: Option<Quality>,
    #[serde(default)]
    partial: bool,
}

#[derive(Deserialize)]
struct Skip {
    start: f64,
    end: f64,
    why: String,
}

impl Skip {
    fn skipped(&self) -> Option<Skipped> {
        SkipReason::named(&self.why).map(|why| Skipped { start: self.start, end: self.end, why })
    }
}

#[derive(Deserialize)]
struct Model {
    name: String,
    revision: Option<String>,
}

/// A transcript of this source.
pub fn transcript(source: String, imported: ImportedTranscript) -> Transcript {
    let ImportedTranscript { language, text, segments } = imported;
    // Some write its name.
    let language = language.map(|name| match name.parse::<Language>() {
        Ok(known) => known.code().to_owned(),
        Err(_) => name,
    });
    let segments = timed(if are_words(&segments) { sentences(segments) } else { segments });
    let ends = segments.iter().map(|segment| segment.end);
    Transcript {
        source,
        duration: ends.fold(0.0, f64::max),
        language: language.unwrap_or_default(),
        text,
        segments,
        ..Transcript::default()
    }
}

/// Whether the segments are words, each for itself.
fn are_words(segments: &[ImportedSegment]) -> bool {
    let is_word =
        |segment: &ImportedSegment| segment.words.len() == 1 && segment.words[0].text == segment.text;
    segments.len() > 1 && segments.iter().all(is_word)
}

/// Words that stand alone, as sentences.
fn sentences(words: Vec<ImportedSegment>) -> Vec<ImportedSegment> {
    let mut made: Vec<ImportedSegment> = Vec::new();
    let mut is_open = false;
    for word in words {
        let ends = word.text.trim_end().ends_with(['.', '!', '?', '。', '！', '？', '…']);
        match made.last_mut() {
            Some(last) if is_open && !pauses(last, &word) && last.words.len() < MOST_WORDS => {
                last.text.push_str(&word.text);
                last.end = word.end.or(word.start);
                last.words.extend(word.words);
            }
            _ => made.push(word),
        }
        is_open = !ends;
    }
    made
}

fn pauses(before: &ImportedSegment, word: &ImportedSegment) -> bool {
    before.end.zip(word.start).is_some_and(|(end, start)| start - end >= PAUSE)
}

/// Gives a time to all that has none: that of what is beside it.
fn timed(segments: Vec<ImportedSegment>) -> Vec<Segment> {
    let starts: Vec<Option<f64>> = segments.iter().map(begins).collect();
    let mut now = 0.0;
    let mut made = Vec::with_capacity(segments.len());
    for (id, segment) in segments.into_iter().enumerate() {
        let start = starts[id].unwrap_or(now);
        let last = segment.words.iter().rev().find_map(|word| word.end.or(word.start));
        let next = starts.get(id + 1).copied().flatten();
        let end = segment.end.or(last).or(next).unwrap_or(start).max(start);
        now = end;
        let has_times = segment.words.iter().any(|word| word.start.or(word.end).is_some());
        let words = has_times.then(|| spelt(words(&segment.words, start, end), &segment.text));
        made.push(Segment { id, start, end, text: segment.text, words, ..Segment::default() });
    }
    made
}

fn begins(segment: &ImportedSegment) -> Option<f64> {
    segment.start.or_else(|| segment.words.iter().find_map(|word| word.start))
}

/// Words without times, numbers for example, share the time between their neighbours.
fn words(words: &[ImportedWord], start: f64, end: f64) -> Vec<Word> {
    let mut made: Vec<Word> = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let before = made.last().map_or(start, |word| word.end);
        let untimed = words[at..].iter().take_while(|word| word.start.is_none()).count();
        let after = words.get(at + untimed).map_or(end, |word| word.start.unwrap_or(end)).max(before);
        let share = (after - before) / untimed.max(1) as f64;
        for (nth, word) in words[at..at + untimed].iter().enumerate() {
            let start = before + share * nth as f64;
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
    Word { word: word.text.clone(), start, end, probability: word.probability.unwrap_or_default() }
}

/// Words as the text spells them, where they came without their blanks or their marks.
fn spelt(mut words: Vec<Word>, text: &str) -> Vec<Word> {
    let together: String = words.iter().map(|word| word.word.as_str()).collect();
    if together.trim() == text.trim() {
        return words;
    }
    if let Some(spelt) = found_in(&words, text) {
        words.iter_mut().zip(spelt).for_each(|(word, spelt)| word.word = spelt);
    } else if !together.trim().contains(char::is_whitespace) && text.trim().contains(char::is_whitespace) {
        words.iter_mut().for_each(|word| word.word.insert(0, ' '));
    }
    words
}

/// The text cut before each word; none if a word is not in it.
fn found_in(words: &[Word], text: &str) -> Option<Vec<String>> {
    let mut cuts = Vec::with_capacity(words.len());
    let mut at = 0;
    for word in words {
        let bare = word.word.trim();
        let found = at + text.get(at..)?.find(bare)?;
        // What stands before it without a blank is its own; the rest belongs to the word before.
        let between = &text[at..found];
        let blank =
            between.char_indices().rev().find(|(_, c)| c.is_whitespace()).map(|(blank, _)| at + blank);
        cuts.push(if cuts.is_empty() { 0 } else { blank.unwrap_or(found) });
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
        transcript("talk.json".into(), parse(ImportFormat::Json, json.as_bytes()).unwrap())
    }

    fn words(transcript: &Transcript) -> Vec<(&str, f64, f64)> {
        let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
        words.map(|word| (word.word.as_str(), word.start, word.end)).collect()
    }

    #[test]
    fn words_get_their_blanks_and_marks_and_times_back() {
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
    fn words_that_are_no_part_of_the_text_are_kept() {
        let read = read(
            r#"{"segments": [{"start": 0, "end": 2, "text": "a b", "words": [{"word": "x", "start": 0, "end": 1},
            {"word": "y", "start": 1, "end": 2}]}]}"#,
        );
        assert_eq!(words(&read), [(" x", 0.0, 1.0), (" y", 1.0, 2.0)]);
    }

    #[test]
    fn words_that_stand_alone_are_put_into_sentences() {
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
