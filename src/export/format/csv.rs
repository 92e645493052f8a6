//! Comma-separated values: start and end in milliseconds, the speaker if any is known, text in quotes, as whisper.cpp
//! writes them.

use crate::export::Rendering;
use crate::export::cues::speakers::{has_speakers, shown_name};
use crate::export::partial::partial_segment;
use crate::export::python::milliseconds;
use crate::transcript::Segment;

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let has_speakers = has_speakers(transcript);
    let row = |segment: &Segment| row(segment, has_speakers);
    let rows: String = transcript.segments.iter().chain(&partial_segment(transcript)).map(row).collect();
    let speaker = if has_speakers { "speaker," } else { "" };
    format!("start,end,{speaker}text\n{rows}").into_bytes()
}

fn row(segment: &Segment, has_speakers: bool) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let speaker = match &segment.speaker {
        Some(name) => quoted(&shown_name(name)) + ",",
        None => if has_speakers { "," } else { "" }.into(),
    };
    let (start, end) = (milliseconds(segment.start), milliseconds(segment.end));
    format!("{start},{end},{speaker}{}\n", quoted(&segment.text))
}
