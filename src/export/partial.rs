//! How a file says that its transcript is not whole: in its last words, which every parser understands.

use crate::transcript::{Segment, Transcript};

const MARK: &str = "[partial]";
/// How long it is shown.
const SECONDS: f64 = 2.0;
/// The end of a page.
pub const HTML_MARK: &str = "<!-- [partial] -->";
/// The end of a line of JSON.
pub const JSON_MARK: &str = ", \"partial\": true";

/// What follows the last segment, if the rest of the recording is missing.
pub fn mark(transcript: &Transcript) -> Option<Segment> {
    transcript.is_partial.then(|| Segment {
        id: transcript.segments.len(),
        start: transcript.duration,
        end: transcript.duration + SECONDS,
        text: MARK.into(),
        ..Segment::default()
    })
}

/// Whether a file has such last words.
pub fn is_partial(content: &[u8]) -> bool {
    let content = content.trim_ascii_end();
    // Some formats quote their texts.
    content.strip_suffix(b"\"").unwrap_or(content).ends_with(MARK.as_bytes())
        || content.ends_with(HTML_MARK.as_bytes())
        || content.strip_suffix(b"}").is_some_and(|line| line.ends_with(JSON_MARK.as_bytes()))
}
