//! Whose JSON it is, by the keys it has.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::shapes::{OpenaiJson, OpenaiSegment, TransformersJson, WhisperCppJson};
use super::{ImportError, ImportedSegment, ImportedTranscript, ImportedWord, utf8};

pub fn parse(bytes: &[u8]) -> Result<ImportedTranscript, ImportError> {
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
        let segments: Vec<OpenaiSegment> = read(text)?;
        Ok(ImportedTranscript::of_segments(segments.into_iter().map(ImportedSegment::from).collect()))
    } else {
        let why = "has neither `segments`, `chunks`, `transcription` nor `text`";
        Err(ImportError { line: None, why: why.into() })
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, ImportError> {
    serde_json::from_str(text).map_err(|error| {
        let said = error.to_string();
        let why = said.split(" at line ").next().unwrap_or_default();
        ImportError { line: Some(error.line()).filter(|line| *line > 0), why: why.into() }
    })
}

fn of_plain(plain: OpenaiJson) -> ImportedTranscript {
    let OpenaiJson { text, language, segments, words } = plain;
    let segments = segments.unwrap_or_default().into_iter().map(ImportedSegment::from).collect();
    let mut found = ImportedTranscript { language, ..ImportedTranscript::of_segments(segments) };
    if let Some(text) = text {
        found.text = text;
    }
    if found.segments.is_empty() && !found.text.is_empty() {
        found.segments.push(ImportedSegment { text: found.text.clone(), ..ImportedSegment::default() });
    }
    if !found.has_words() {
        spread(words.unwrap_or_default().into_iter().map(ImportedWord::from), &mut found.segments);
    }
    found
}

/// Gives words that stand apart to the segments in which they start.
fn spread(words: impl Iterator<Item = ImportedWord>, segments: &mut [ImportedSegment]) {
    let mut at = 0;
    for word in words {
        let later = |segment: &ImportedSegment| {
            segment.start.zip(word.start).is_some_and(|(start, time)| start <= time)
        };
        while segments.get(at + 1).is_some_and(later) {
            at += 1;
        }
        if let Some(segment) = segments.get_mut(at) {
            segment.words.push(word);
        }
    }
}

fn of_chunks(chunked: TransformersJson) -> ImportedTranscript {
    let mut segments: Vec<ImportedSegment> = chunked.chunks.into_iter().map(ImportedSegment::from).collect();
    // Single words look like segments.
    if segments.len() > 1 && segments.iter().all(|segment| segment.text.split_whitespace().count() <= 1) {
        for segment in &mut segments {
            let ImportedSegment { start, end, ref text, .. } = *segment;
            segment.words = vec![ImportedWord { start, end, text: text.clone(), probability: None }];
        }
    }
    let mut found = ImportedTranscript::of_segments(segments);
    if let Some(text) = chunked.text {
        found.text = text;
    }
    found
}

fn of_cpp(cpp: WhisperCppJson) -> ImportedTranscript {
    let segments = cpp.transcription.into_iter().map(ImportedSegment::from).collect();
    let language = cpp.result.and_then(|result| result.language);
    ImportedTranscript { language, ..ImportedTranscript::of_segments(segments) }
}
