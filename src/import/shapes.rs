//! The shapes of JSON that programs write, as far as they are of use.

use serde::Deserialize;

use super::{Segment, Word};

/// openai/whisper, its API, whisperX, faster-whisper.
#[derive(Deserialize)]
pub struct Plain {
    pub text: Option<String>,
    pub language: Option<String>,
    pub segments: Option<Vec<PlainSegment>>,
    pub words: Option<Vec<PlainWord>>,
}

#[derive(Deserialize)]
pub struct PlainSegment {
    start: Option<f64>,
    end: Option<f64>,
    text: String,
    speaker: Option<String>,
    words: Option<Vec<PlainWord>>,
}

#[derive(Deserialize)]
pub struct PlainWord {
    start: Option<f64>,
    end: Option<f64>,
    #[serde(alias = "text")]
    word: String,
    #[serde(alias = "score", alias = "confidence")]
    probability: Option<f64>,
}

/// transformers.
#[derive(Deserialize)]
pub struct Chunked {
    pub text: Option<String>,
    pub chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
pub struct Chunk {
    timestamp: Option<(Option<f64>, Option<f64>)>,
    text: String,
}

/// whisper.cpp.
#[derive(Deserialize)]
pub struct Cpp {
    pub result: Option<CppResult>,
    pub transcription: Vec<CppSegment>,
}

#[derive(Deserialize)]
pub struct CppResult {
    pub language: Option<String>,
}

#[derive(Deserialize)]
pub struct CppSegment {
    offsets: Option<Offsets>,
    text: String,
    #[serde(default)]
    tokens: Vec<CppToken>,
}

#[derive(Deserialize)]
struct CppToken {
    text: String,
    offsets: Option<Offsets>,
    p: Option<f64>,
}

/// Milliseconds.
#[derive(Deserialize, Clone, Copy)]
struct Offsets {
    from: i64,
    to: i64,
}

impl Offsets {
    fn start(self) -> f64 {
        self.from as f64 / 1e3
    }

    fn end(self) -> f64 {
        self.to as f64 / 1e3
    }
}

impl From<PlainWord> for Word {
    fn from(word: PlainWord) -> Self {
        let PlainWord { start, end, word: text, probability } = word;
        Self { start, end, text, probability }
    }
}

impl From<PlainSegment> for Segment {
    fn from(segment: PlainSegment) -> Self {
        let PlainSegment { start, end, text, speaker, words } = segment;
        let words = words.unwrap_or_default().into_iter().map(Word::from).collect();
        Self { start, end, text, speaker, words }
    }
}

impl From<Chunk> for Segment {
    fn from(chunk: Chunk) -> Self {
        let (start, end) = chunk.timestamp.unwrap_or_default();
        Self { start, end, text: chunk.text, ..Self::default() }
    }
}

impl From<CppSegment> for Segment {
    fn from(segment: CppSegment) -> Self {
        let CppSegment { offsets, text, tokens } = segment;
        let words = words_of_tokens(tokens);
        let (start, end) = (offsets.map(Offsets::start), offsets.map(Offsets::end));
        Self { start, end, text, speaker: None, words }
    }
}

/// A word starts with a blank; its probability is the mean of its tokens'.
fn words_of_tokens(tokens: Vec<CppToken>) -> Vec<Word> {
    let mut words: Vec<(Word, f64, f64)> = Vec::new();
    for token in tokens.into_iter().filter(|token| !token.text.starts_with("[_")) {
        if words.is_empty() || token.text.starts_with(' ') {
            let start = token.offsets.map(Offsets::start);
            words.push((Word { start, ..Word::default() }, 0.0, 0.0));
        }
        if let Some((word, sum, count)) = words.last_mut() {
            word.text.push_str(&token.text);
            word.end = token.offsets.map(Offsets::end).or(word.end);
            *sum += token.p.unwrap_or_default();
            *count += 1.0;
            word.probability = token.p.map(|_| *sum / *count);
        }
    }
    words.into_iter().map(|(word, ..)| word).collect()
}
