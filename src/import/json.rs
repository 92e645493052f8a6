//! Parses the JSON of several programs, which it tells apart by their keys, and ignores fields of no use.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::text::utf8;
use super::{ImportError, ImportedSegment, ImportedTranscript, ImportedWord};

/// Detects the program by the keys present and parses its JSON.
pub fn parse(bytes: &[u8]) -> Result<ImportedTranscript, ImportError> {
    // whisper.cpp splits characters between tokens, so only its files commonly contain invalid bytes, which are harmless.
    let lenient = String::from_utf8_lossy(bytes);
    let lenient = lenient.strip_prefix('\u{feff}').unwrap_or(&lenient);
    let value: Value = read(lenient)?;
    let has = |key: &str| value.get(key).is_some_and(|found| !found.is_null());
    if has("transcription") {
        return Ok(from_whisper_cpp(read(lenient)?));
    }
    let text = utf8(bytes)?;
    if has("chunks") {
        Ok(from_transformers(read(text)?))
    } else if has("segments") || has("text") {
        Ok(from_openai(read(text)?))
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
        let message = error.to_string();
        let why = message.split(" at line ").next().unwrap_or_default();
        ImportError { line: Some(error.line()).filter(|line| *line > 0), why: why.into() }
    })
}

fn from_openai(plain: OpenaiJson) -> ImportedTranscript {
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
        assign_words(words.unwrap_or_default().into_iter().map(ImportedWord::from), &mut found.segments);
    }
    found
}

/// Assigns words listed apart from the segments to the segment in which they start.
fn assign_words(words: impl Iterator<Item = ImportedWord>, segments: &mut [ImportedSegment]) {
    let mut index = 0;
    for word in words {
        let later = |segment: &ImportedSegment| {
            segment.start.zip(word.start).is_some_and(|(start, time)| start <= time)
        };
        while segments.get(index + 1).is_some_and(later) {
            index += 1;
        }
        if let Some(segment) = segments.get_mut(index) {
            segment.words.push(word);
        }
    }
}

fn from_transformers(chunked: TransformersJson) -> ImportedTranscript {
    let mut segments: Vec<ImportedSegment> = chunked.chunks.into_iter().map(ImportedSegment::from).collect();
    if segments.iter().all(|segment| segment.speaker.is_none()) {
        let speakers = serde_json::from_value(chunked.speakers).unwrap_or_default();
        assign_speakers(speakers, &mut segments);
    }
    // Single words come as segments.
    if segments.len() > 1 && segments.iter().all(|segment| segment.text.split_whitespace().count() <= 1) {
        for segment in &mut segments {
            let ImportedSegment { start, end, ref text, .. } = *segment;
            let (text, speaker) = (text.clone(), segment.speaker.clone());
            segment.words = vec![ImportedWord { start, end, text, probability: None, speaker }];
        }
    }
    let mut found = ImportedTranscript::of_segments(segments);
    if let Some(text) = chunked.text {
        found.text = text;
    }
    found
}

/// Assigns speakers listed apart from the chunks, as insanely-fast-whisper does, to those that they share most time with.
fn assign_speakers(speakers: Vec<TransformersChunk>, segments: &mut [ImportedSegment]) {
    let span = |start: Option<f64>, end: Option<f64>| Some((start?, end.unwrap_or(f64::INFINITY)));
    let mut first = 0;
    for segment in segments {
        let Some((start, end)) = span(segment.start, segment.end) else { continue };
        let shared = |chunk: &TransformersChunk| {
            let (from, to) = chunk.timestamp.and_then(|(from, to)| span(from, to)).unwrap_or_default();
            to.min(end) - from.max(start)
        };
        // Both are in the order of time: none before these is needed again.
        first += speakers[first..].iter().take_while(|chunk| ends_before(chunk, start)).count();
        let near = speakers[first..].iter().take_while(|chunk| !starts_after(chunk, end));
        let best = near.filter(|chunk| shared(chunk) > 0.0).max_by(|a, b| shared(a).total_cmp(&shared(b)));
        segment.speaker = best.and_then(|chunk| chunk.speaker.clone());
    }
}

fn ends_before(chunk: &TransformersChunk, time: f64) -> bool {
    chunk.timestamp.and_then(|(_, end)| end).is_some_and(|end| end <= time)
}

fn starts_after(chunk: &TransformersChunk, time: f64) -> bool {
    chunk.timestamp.and_then(|(start, _)| start).is_some_and(|start| start >= time)
}

/// Reads the name of a speaker, which some programs only number; anything else names nobody.
fn speaker_name<'de, D: Deserializer<'de>>(json: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(json)? {
        // What whisper.cpp calls somebody that it does not know.
        Value::String(name) if name.trim().is_empty() || name == "?" => None,
        Value::String(name) => Some(name),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

fn from_whisper_cpp(cpp: WhisperCppFile) -> ImportedTranscript {
    let segments = cpp.transcription.into_iter().map(ImportedSegment::from).collect();
    let language = cpp.result.and_then(|result| result.language);
    ImportedTranscript { language, ..ImportedTranscript::of_segments(segments) }
}

/// The JSON of openai/whisper, its API, whisperX and faster-whisper.
#[derive(Deserialize)]
struct OpenaiJson {
    text: Option<String>,
    language: Option<String>,
    segments: Option<Vec<OpenaiSegment>>,
    words: Option<Vec<OpenaiWord>>,
}

#[derive(Deserialize)]
struct OpenaiSegment {
    start: Option<f64>,
    end: Option<f64>,
    text: String,
    #[serde(default, deserialize_with = "speaker_name")]
    speaker: Option<String>,
    words: Option<Vec<OpenaiWord>>,
}

#[derive(Deserialize)]
struct OpenaiWord {
    start: Option<f64>,
    end: Option<f64>,
    #[serde(alias = "text")]
    word: String,
    #[serde(alias = "score", alias = "confidence")]
    probability: Option<f64>,
    #[serde(default, deserialize_with = "speaker_name")]
    speaker: Option<String>,
}

/// The JSON of transformers.
#[derive(Deserialize)]
struct TransformersJson {
    text: Option<String>,
    chunks: Vec<TransformersChunk>,
    /// Chunks with speakers.
    #[serde(default)]
    speakers: Value,
}

#[derive(Deserialize)]
struct TransformersChunk {
    timestamp: Option<(Option<f64>, Option<f64>)>,
    text: String,
    #[serde(default, deserialize_with = "speaker_name")]
    speaker: Option<String>,
}

/// The JSON of whisper.cpp.
#[derive(Deserialize)]
struct WhisperCppFile {
    result: Option<WhisperCppResult>,
    transcription: Vec<WhisperCppSegment>,
}

#[derive(Deserialize)]
struct WhisperCppResult {
    language: Option<String>,
}

#[derive(Deserialize)]
struct WhisperCppSegment {
    offsets: Option<WhisperCppOffsets>,
    text: String,
    #[serde(default, deserialize_with = "speaker_name")]
    speaker: Option<String>,
    #[serde(default)]
    tokens: Vec<WhisperCppToken>,
}

#[derive(Deserialize)]
struct WhisperCppToken {
    text: String,
    offsets: Option<WhisperCppOffsets>,
    p: Option<f64>,
}

/// A time span in milliseconds.
#[derive(Deserialize, Clone, Copy)]
struct WhisperCppOffsets {
    from: i64,
    to: i64,
}

impl WhisperCppOffsets {
    fn start(self) -> f64 {
        self.from as f64 / 1e3
    }

    fn end(self) -> f64 {
        self.to as f64 / 1e3
    }
}

impl From<OpenaiWord> for ImportedWord {
    fn from(word: OpenaiWord) -> Self {
        let OpenaiWord { start, end, word: text, probability, speaker } = word;
        Self { start, end, text, probability, speaker }
    }
}

impl From<OpenaiSegment> for ImportedSegment {
    fn from(segment: OpenaiSegment) -> Self {
        let OpenaiSegment { start, end, text, speaker, words } = segment;
        let words = words.unwrap_or_default().into_iter().map(ImportedWord::from).collect();
        Self { start, end, text, speaker, words }
    }
}

impl From<TransformersChunk> for ImportedSegment {
    fn from(chunk: TransformersChunk) -> Self {
        let (start, end) = chunk.timestamp.unwrap_or_default();
        Self { start, end, text: chunk.text, speaker: chunk.speaker, words: Vec::new() }
    }
}

impl From<WhisperCppSegment> for ImportedSegment {
    fn from(segment: WhisperCppSegment) -> Self {
        let WhisperCppSegment { offsets, text, speaker, tokens } = segment;
        let words = join_tokens(tokens);
        let (start, end) = (offsets.map(WhisperCppOffsets::start), offsets.map(WhisperCppOffsets::end));
        Self { start, end, text, speaker, words }
    }
}

/// Joins tokens to words, which start with a space; a word's probability is the mean of its tokens'.
fn join_tokens(tokens: Vec<WhisperCppToken>) -> Vec<ImportedWord> {
    let mut words: Vec<(ImportedWord, f64, f64)> = Vec::new();
    for token in tokens.into_iter().filter(|token| !token.text.starts_with("[_")) {
        if words.is_empty() || token.text.starts_with(' ') {
            let start = token.offsets.map(WhisperCppOffsets::start);
            words.push((ImportedWord { start, ..ImportedWord::default() }, 0.0, 0.0));
        }
        if let Some((word, sum, count)) = words.last_mut() {
            word.text.push_str(&token.text);
            word.end = token.offsets.map(WhisperCppOffsets::end).or(word.end);
            *sum += token.p.unwrap_or_default();
            *count += 1.0;
            word.probability = token.p.map(|_| *sum / *count);
        }
    }
    words.into_iter().map(|(word, ..)| word).collect()
}
