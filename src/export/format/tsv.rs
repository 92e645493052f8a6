//! Tab-separated: start and end in milliseconds, text.

use crate::export::Exporter;
use crate::export::options::Shape;
use crate::export::partial::mark;
use crate::export::python::{milliseconds, strip};
use crate::transcript::{Segment, Transcript};

pub struct Tsv;

impl Exporter for Tsv {
    fn extension(&self) -> &'static str {
        "tsv"
    }

    fn write(&self, transcript: &Transcript, _: &Shape) -> Vec<u8> {
        let rows: String = transcript.segments.iter().chain(&mark(transcript)).map(row).collect();
        format!("start\tend\ttext\n{rows}").into_bytes()
    }
}

fn row(segment: &Segment) -> String {
    let text = strip(&segment.text).replace('\t', " ");
    format!("{}\t{}\t{text}\n", milliseconds(segment.start), milliseconds(segment.end))
}
