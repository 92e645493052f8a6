//! Tab-separated values: start and end in milliseconds, text, and the speaker if any is known.

use crate::export::Rendering;
use crate::export::cues::speakers::{has_speakers, shown_name};
use crate::export::partial::partial_segment;
use crate::export::python::{milliseconds, strip};
use crate::transcript::Segment;

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let has_speakers = has_speakers(transcript);
    let row = |segment: &Segment| row(segment, has_speakers);
    let rows: String = transcript.segments.iter().chain(&partial_segment(transcript)).map(row).collect();
    // After openai's columns, so that programs find those where they expect them.
    let speaker = if has_speakers { "\tspeaker" } else { "" };
    format!("start\tend\ttext{speaker}\n{rows}").into_bytes()
}

fn row(segment: &Segment, has_speakers: bool) -> String {
    let text = strip(&segment.text).replace('\t', " ");
    let speaker = match &segment.speaker {
        Some(name) => format!("\t{}", shown_name(name)),
        None => if has_speakers { "\t" } else { "" }.into(),
    };
    format!("{}\t{}\t{text}{speaker}\n", milliseconds(segment.start), milliseconds(segment.end))
}
