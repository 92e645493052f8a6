//! Plain text, a line per segment.

use crate::export::options::Shape;
use crate::export::partial::mark;
use crate::export::{Exporter, python};
use crate::transcript::Transcript;

pub struct Txt;

impl Exporter for Txt {
    fn extension(&self) -> &'static str {
        "txt"
    }

    fn write(&self, transcript: &Transcript, _: &Shape) -> Vec<u8> {
        let mut out = String::new();
        for segment in transcript.segments.iter().chain(&mark(transcript)) {
            out.push_str(python::strip(&segment.text));
            out.push('\n');
        }
        out.into_bytes()
    }
}
