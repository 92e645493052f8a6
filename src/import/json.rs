//! Whose JSON it is, by the keys it has.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shapes::{Chunked, Cpp, Plain, PlainSegment};
use super::{Fault, Imported, Segment, Word, utf8};

pub fn parse(bytes: &[u8]) -> Result<Imported, Fault> {
    // whisper.cpp cuts letters in two where its tokens do; only there are bad bytes usual and harmless.
    let lenient = String::from_utf8_lossy(bytes);
    let lenient = lenient.strip_prefix('\u{feff}').unwrap_or(&lenient);
    let value: Value = read(lenient)?;
    let has = |key: &str| value.get(key).is_some_and(|found| !found.is_null());
    if has("transcription") {
        return Ok(of_cpp(read(lenient)?));
    }
    let text = utf8(bytes)?;
    if has("chunks") {
        Ok(of_chunks(read(text)?))
    } else if has("segments") || has("text") {
        Ok(of_plain(read(text)?))
    } else if value.is_array() {
        let segments: Vec<PlainSegment> = read(text)?;
        Ok(Imported::of_segments(segments.into_iter().map(Segment::from).collect()))
    } else {
        let why = "has neither `segments`, `chunks`, `transcription` nor `text`";
        Err(Fault { line: None, why: why.into() })
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let why = said.split(" at line ").next().unwrap_or_default();
        Fault { line: Some(error.line()).filter(|line| *line > 0), why: why.into() }
    })
}

fn of_plain(plain: Plain) -> Imported {
    let Plain { text, language, segments, words } = plain;
    let segments = segments.unwrap_or_default().into_iter().map(Segment::from).collect();
    let mut found = Imported { language, ..Imported::of_segments(segments) };
    if let Some(text) = text {
        found.text = text;
    }
    if found.segments.is_empty() && !found.text.is_empty() {
        found.segments.push(Segment { text: found.text.clone(), ..Segment::default() });
    }
    if !found.has_words() {
        spread(words.unwrap_or_default().into_iter().map(Word::from), &mut found.segments);
    }
    found
}

/// Gives words that stand apart to the segments in which they start.
fn spread(words: impl Iterator<Item = Word>, segments: &mut [Segment]) {
    let mut at = 0;
    for word in words {
        let later =
            |segment: &Segment| segment.start.zip(word.start).is_some_and(|(start, time)| start <= time);
        while segments.get(at + 1).is_some_and(later) {
            at += 1;
        }
        if let Some(segment) = segments.get_mut(at) {
            segment.words.push(word);
        }
    }
}

fn of_chunks(chunked: Chunked) -> Imported {
    let mut segments: Vec<Segment> = chunked.chunks.into_iter().map(Segment::from).collect();
    // Single words look like segments.
    if segments.len() > 1 && segments.iter().all(|segment| segment.text.split_whitespace().count() <= 1) {
        for segment in &mut segments {
            let Segment { start, end, ref text, .. } = *segment;
            segment.words = vec![Word { start, end, text: text.clone(), probability: None }];
        }
    }
    let mut found = Imported::of_segments(segments);
    if let Some(text) = chunked.text {
        found.text = text;
    }
    found
}

fn of_cpp(cpp: Cpp) -> Imported {
    let segments = cpp.transcription.into_iter().map(Segment::from).collect();
    let language = cpp.result.and_then(|result| result.language);
    Imported { language, ..Imported::of_segments(segments) }
}
