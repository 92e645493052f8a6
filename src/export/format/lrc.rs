//! Lyrics: a time and a line of text, in whisper.cpp's shape; with words, a time before each of them.

use crate::export::Exporter;
use crate::export::options::Shape;
use crate::export::partial::mark;
use crate::export::python::milliseconds;
use crate::transcript::{Segment, Transcript};

pub struct Lrc;

impl Exporter for Lrc {
    fn extension(&self) -> &'static str {
        "lrc"
    }

    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8> {
        let mark = mark(transcript);
        let segments = transcript.segments.iter().chain(&mark);
        let lines: String = segments.map(|segment| line(segment, shape)).collect();
        format!("[by:transcribe]\n{lines}").into_bytes()
    }
}

fn line(segment: &Segment, shape: &Shape) -> String {
    let words = segment.words.as_deref().filter(|words| shape.highlight_words && !words.is_empty());
    let text = match words {
        Some(words) => {
            let word = |word: &crate::transcript::Word| format!(" <{}>{}", time(word.start), word.word);
            words.iter().map(word).collect()
        }
        None => segment.text.clone(),
    };
    format!("[{}]{}\n", time(segment.start), text.replace(['\n', '\r'], " "))
}

/// Minutes beyond sixty are no hours here, and what is cut off is not rounded, as whisper.cpp does it.
fn time(seconds: f64) -> String {
    let all = milliseconds(seconds.max(0.0)) / 10;
    format!("{:02}:{:02}.{:02}", all / 6_000, all / 100 % 60, all % 100)
}
