//! Lyrics: a time and a line of text, as whisper.cpp writes them; with highlighted words, a time before each word.

use crate::export::partial::partial_segment;
use crate::export::python::milliseconds;
use crate::export::{ExportOptions, Rendering};
use crate::transcript::{Segment, Word};

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let partial = partial_segment(transcript);
    let segments = transcript.segments.iter().chain(&partial);
    let lines: String = segments.map(|segment| line(segment, rendering.options())).collect();
    format!("[by:transcribe]\n{lines}").into_bytes()
}

fn line(segment: &Segment, options: &ExportOptions) -> String {
    let words = segment.words.as_deref().filter(|words| options.highlight_words && !words.is_empty());
    let text = match words {
        Some(words) => {
            let timed = |word: &Word| format!(" <{}>{}", time(word.start), word.word);
            words.iter().map(timed).collect()
        }
        None => segment.text.clone(),
    };
    format!("[{}]{}\n", time(segment.start), text.replace(['\n', '\r'], " "))
}

/// Formats a time as whisper.cpp does: without hours, so that minutes exceed 60, and truncated to centiseconds.
fn time(seconds: f64) -> String {
    let centiseconds = milliseconds(seconds.max(0.0)) / 10;
    format!("{:02}:{:02}.{:02}", centiseconds / 6_000, centiseconds / 100 % 60, centiseconds % 100)
}
