//! Plain text, one line per segment.

use crate::export::partial::partial_segment;
use crate::export::{Rendering, python};

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let mut out = String::new();
    for segment in transcript.segments.iter().chain(&partial_segment(transcript)) {
        out.push_str(python::strip(&segment.text));
        out.push('\n');
    }
    out.into_bytes()
}
