//! The mark of a partial transcript: the last words of a file, which every parser understands.

use crate::transcript::{Segment, Transcript};

const MARK: &str = "[partial]";
/// How long the mark is shown.
const SECONDS: f64 = 2.0;
/// The end of a partial page.
pub const HTML_MARK: &str = "<!-- [partial] -->";
/// The end of a partial JSON object, before its closing brace.
pub const JSON_MARK: &str = ", \"partial\": true";

/// Returns the segment that follows the last one if the rest of the recording is missing.
pub fn partial_segment(transcript: &Transcript) -> Option<Segment> {
    transcript.is_partial.then(|| Segment {
        id: transcript.segments.len(),
        start: transcript.duration,
        end: transcript.duration + SECONDS,
        text: MARK.into(),
        ..Segment::default()
    })
}

/// Returns whether the content of a file ends with the mark.
pub fn is_partial(content: &[u8]) -> bool {
    let content = content.trim_ascii_end();
    // CSV quotes its texts.
    content.strip_suffix(b"\"").unwrap_or(content).ends_with(MARK.as_bytes())
        || content.ends_with(HTML_MARK.as_bytes())
        || content.strip_suffix(b"}").is_some_and(|line| line.ends_with(JSON_MARK.as_bytes()))
}
