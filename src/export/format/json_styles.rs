//! The JSON of other programs, for what was made to read theirs. Each function leaves the last brace to its caller.

use serde::Serialize;

use super::json::members;
use crate::export::python::{milliseconds, strip};
use crate::export::timestamps::Clock;
use crate::transcript::{Segment, Transcript, Word};

fn open<T: Serialize>(object: &T) -> String {
    format!("{{{}", members(object))
}

/// That of transformers' pipelines: pieces of text, each with its times.
pub fn hf(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct Result<'t> {
        text: &'t str,
        chunks: Vec<Chunk<'t>>,
    }
    #[derive(Serialize)]
    struct Chunk<'t> {
        timestamp: [f64; 2],
        text: &'t str,
    }
    fn chunk(Segment { start, end, text, .. }: &Segment) -> Chunk<'_> {
        Chunk { timestamp: [*start, *end], text }
    }
    let chunks = transcript.segments.iter().map(chunk);
    open(&Result { text: &transcript.text, chunks: chunks.collect() })
}

/// whisperX's: segments with scored words, and all words once more.
pub fn whisperx(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct Result<'t> {
        segments: Vec<Timed<'t>>,
        word_segments: Vec<Scored<'t>>,
        language: &'t str,
    }
    #[derive(Serialize)]
    struct Timed<'t> {
        start: f64,
        end: f64,
        text: &'t str,
        #[serde(skip_serializing_if = "Option::is_none")]
        words: Option<Vec<Scored<'t>>>,
    }
    #[derive(Serialize)]
    struct Scored<'t> {
        word: &'t str,
        start: f64,
        end: f64,
        score: f64,
    }
    fn scored(word: &Word) -> Scored<'_> {
        Scored { word: strip(&word.word), start: word.start, end: word.end, score: word.probability }
    }
    let segments = transcript.segments.iter().map(|segment| Timed {
        start: segment.start,
        end: segment.end,
        text: &segment.text,
        words: segment.words.as_ref().map(|words| words.iter().map(scored).collect()),
    });
    let words = transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
    open(&Result {
        segments: segments.collect(),
        word_segments: words.map(scored).collect(),
        language: &transcript.language,
    })
}

/// whisper.cpp's: times as clock and as milliseconds; words stand where it has tokens.
pub fn whisper_cpp(transcript: &Transcript) -> String {
    #[derive(Serialize)]
    struct Result<'t> {
        systeminfo: String,
        model: Model<'t>,
        params: Params<'t>,
        result: Language<'t>,
        transcription: Vec<Piece<'t>>,
    }
    #[derive(Serialize)]
    struct Model<'t> {
        r#type: &'t str,
    }
    #[derive(Serialize)]
    struct Params<'t> {
        model: &'t str,
        language: &'t str,
    }
    #[derive(Serialize)]
    struct Language<'t> {
        language: &'t str,
    }
    #[derive(Serialize)]
    struct Piece<'t> {
        timestamps: Times<String>,
        offsets: Times<i64>,
        text: &'t str,
        #[serde(skip_serializing_if = "Option::is_none")]
        p: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens: Option<Vec<Piece<'t>>>,
    }
    #[derive(Serialize)]
    struct Times<T> {
        from: T,
        to: T,
    }
    fn piece(text: &str, start: f64, end: f64) -> Piece<'_> {
        const CLOCK: Clock = Clock { hours_always: true, marker: ',' };
        let (from, to) = (milliseconds(start), milliseconds(end));
        let timestamps = Times { from: CLOCK.time(from), to: CLOCK.time(to) };
        Piece { timestamps, offsets: Times { from, to }, text, p: None, tokens: None }
    }
    fn token(Word { word, start, end, probability }: &Word) -> Piece<'_> {
        Piece { p: Some(*probability), ..piece(word, *start, *end) }
    }
    fn whole(Segment { text, start, end, words, .. }: &Segment) -> Piece<'_> {
        let tokens = words.as_ref().map(|words| words.iter().map(token).collect());
        Piece { tokens, ..piece(text, *start, *end) }
    }
    let Transcript { language, model, .. } = transcript;
    open(&Result {
        systeminfo: format!("transcribe {}", env!("CARGO_PKG_VERSION")),
        model: Model { r#type: &model.name },
        params: Params { model: &model.name, language },
        result: Language { language },
        transcription: transcript.segments.iter().map(whole).collect(),
    })
}
