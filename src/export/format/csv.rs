//! Comma-separated values: start and end in milliseconds, text in quotes, as whisper.cpp writes them.

use crate::export::Rendering;
use crate::export::partial::partial_segment;
use crate::export::python::milliseconds;
use crate::transcript::Segment;

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let rows: String = transcript.segments.iter().chain(&partial_segment(transcript)).map(row).collect();
    format!("start,end,text\n{rows}").into_bytes()
}

fn row(segment: &Segment) -> String {
    let text = segment.text.replace('"', "\"\"");
    format!("{},{},\"{text}\"\n", milliseconds(segment.start), milliseconds(segment.end))
}
