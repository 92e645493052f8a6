//! Lyrics: a time and a line of text, as whisper.cpp writes them; with highlighted words, a time before each word; with
//! speakers, a name where they change.

use crate::export::cues::speakers::shown_name;
use crate::export::partial::partial_segment;
use crate::export::python::milliseconds;
use crate::export::{ExportOptions, Rendering, SpeakerLabels};
use crate::transcript::{Segment, Word};

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let partial = partial_segment(transcript);
    let segments = transcript.segments.iter().chain(&partial);
    let mut last = None;
    let mut labelled_line = |segment: &Segment| {
        let speaker = segment.speaker.clone().filter(|_| match rendering.options().speaker_labels {
            SpeakerLabels::Auto => segment.speaker != last,
            SpeakerLabels::Always => true,
            SpeakerLabels::Never => false,
        });
        last.clone_from(&segment.speaker);
        line(segment, speaker.as_deref(), rendering.options())
    };
    let lines: String = segments.map(&mut labelled_line).collect();
    format!("[by:transcribe]\n{lines}").into_bytes()
}

fn line(segment: &Segment, speaker: Option<&str>, options: &ExportOptions) -> String {
    let words = segment.words.as_deref().filter(|words| options.highlight_words && !words.is_empty());
    let text = match words {
        Some(words) => {
            let timed = |word: &Word| format!(" <{}>{}", time(word.start), word.word);
            words.iter().map(timed).collect()
        }
        None => segment.text.clone(),
    };
    let label = speaker.map(|name| format!(" {}:", shown_name(name))).unwrap_or_default();
    format!("[{}]{label}{}\n", time(segment.start), text.replace(['\n', '\r'], " "))
}

/// Formats a time as whisper.cpp does: without hours, so that minutes exceed 60, and truncated to centiseconds.
fn time(seconds: f64) -> String {
    let centiseconds = milliseconds(seconds.max(0.0)) / 10;
    format!("{:02}:{:02}.{:02}", centiseconds / 6_000, centiseconds / 100 % 60, centiseconds % 100)
}
