//! The shapes of JSON that programs write, as far as they are of use.

use serde::Deserialize;

use super::{ImportedSegment, ImportedWord};

/// openai/whisper, its API, whisperX, faster-whisper.
#[derive(Deserialize)]
pub struct OpenaiJson {
    pub text: Option<String>,
    pub language: Option<String>,
    pub segments: Option<Vec<OpenaiSegment>>,
    pub words: Option<Vec<OpenaiWord>>,
}

#[derive(Deserialize)]
pub struct OpenaiSegment {
    start: Option<f64>,
    end: Option<f64>,
    text: String,
    speaker: Option<String>,
    words: Option<Vec<OpenaiWord>>,
}

#[derive(Deserialize)]
pub struct OpenaiWord {
    start: Option<f64>,
    end: Option<f64>,
    #[serde(alias = "text")]
    word: String,
    #[serde(alias = "score", alias = "confidence")]
    probability: Option<f64>,
}

/// transformers.
#[derive(Deserialize)]
pub struct TransformersJson {
    pub text: Option<String>,
    pub chunks: Vec<TransformersChunk>,
}

#[derive(Deserialize)]
pub struct TransformersChunk {
    timestamp: Option<(Option<f64>, Option<f64>)>,
    text: String,
}

/// whisper.cpp.
#[derive(Deserialize)]
pub struct WhisperCppJson {
    pub result: Option<WhisperCppResult>,
    pub transcription: Vec<WhisperCppSegment>,
}

#[derive(Deserialize)]
pub struct WhisperCppResult {
    pub language: Option<String>,
}

#[derive(Deserialize)]
pub struct WhisperCppSegment {
    offsets: Option<WhisperCppOffsets>,
    text: String,
    #[serde(default)]
    tokens: Vec<WhisperCppToken>,
}

#[derive(Deserialize)]
struct WhisperCppToken {
    text: String,
    offsets: Option<WhisperCppOffsets>,
    p: Option<f64>,
}

/// Milliseconds.
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
        let OpenaiWord { start, end, word: text, probability } = word;
        Self { start, end, text, probability }
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
        Self { start, end, text: chunk.text, ..Self::default() }
    }
}

impl From<WhisperCppSegment> for ImportedSegment {
    fn from(segment: WhisperCppSegment) -> Self {
        let WhisperCppSegment { offsets, text, tokens } = segment;
        let words = words_of_tokens(tokens);
        let (start, end) = (offsets.map(WhisperCppOffsets::start), offsets.map(WhisperCppOffsets::end));
        Self { start, end, text, speaker: None, words }
    }
}

/// A word starts with a blank; its probability is the mean of its tokens'.
fn words_of_tokens(tokens: Vec<WhisperCppToken>) -> Vec<ImportedWord> {
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
