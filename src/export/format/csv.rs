//! Comma-separated: start and end in milliseconds, text in quotes, as whisper.cpp writes it.

use crate::export::Exporter;
use crate::export::options::Shape;
use crate::export::partial::mark;
use crate::export::python::milliseconds;
use crate::transcript::{Segment, Transcript};

pub struct Csv;

impl Exporter for Csv {
    fn extension(&self) -> &'static str {
        "csv"
    }

    fn write(&self, transcript: &Transcript, _: &Shape) -> Vec<u8> {
        let rows: String = transcript.segments.iter().chain(&mark(transcript)).map(row).collect();
        format!("start,end,text\n{rows}").into_bytes()
    }
}

fn row(segment: &Segment) -> String {
    let text = segment.text.replace('"', "\"\"");
    format!("{},{},\"{text}\"\n", milliseconds(segment.start), milliseconds(segment.end))
}
