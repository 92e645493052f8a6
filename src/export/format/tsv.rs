//! Tab-separated values: start and end in milliseconds, text.

use crate::export::Rendering;
use crate::export::partial::partial_segment;
use crate::export::python::{milliseconds, strip};
use crate::transcript::Segment;

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let rows: String = transcript.segments.iter().chain(&partial_segment(transcript)).map(row).collect();
    format!("start\tend\ttext\n{rows}").into_bytes()
}

fn row(segment: &Segment) -> String {
    let text = strip(&segment.text).replace('\t', " ");
    format!("{}\t{}\t{text}\n", milliseconds(segment.start), milliseconds(segment.end))
}
