//! RTTM, NIST's lines of who speaks when: the turns, or else the segments that name their speaker.

use super::json::file_name;
use crate::export::Rendering;
use crate::export::partial::partial_segment;
use crate::transcript::Transcript;

/// The comment that is the content of a file without turns.
const NO_TURNS: &str = ";; no speakers are known\n";

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let name = file_name(&transcript.source);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
    let file = field(stem);
    let line = |(start, end, speaker): (f64, f64, &str)| {
        // A start and an end that agree with those of other turns to the millisecond.
        let (start, end) = (thousandths(start), thousandths(end));
        let (start, duration) = (start as f64 / 1e3, end.saturating_sub(start) as f64 / 1e3);
        let speaker = field(speaker);
        format!("SPEAKER {file} 1 {start:.3} {duration:.3} <NA> <NA> {speaker} <NA> <NA>\n")
    };
    let mut out: String = turns(transcript).into_iter().map(line).collect();
    if out.is_empty() {
        out.push_str(NO_TURNS);
    }
    out.extend(partial_segment(transcript).map(|mark| format!(";; {}\n", mark.text)));
    out.into_bytes()
}

fn turns(transcript: &Transcript) -> Vec<(f64, f64, &str)> {
    if let Some(known) = transcript.speakers.as_ref().filter(|known| !known.turns.is_empty()) {
        return known.turns.iter().map(|turn| (turn.start, turn.end, known.name(turn))).collect();
    }
    let segments = transcript.segments.iter();
    segments.filter_map(|segment| Some((segment.start, segment.end, segment.speaker.as_deref()?))).collect()
}

fn thousandths(seconds: f64) -> u64 {
    // Negative times and NaN become 0.
    (seconds * 1e3).round() as u64
}

/// Returns a text as a field: without blanks, and without what would start a comment.
fn field(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join("_").replace(";;", ";_");
    if joined.is_empty() { "<NA>".into() } else { joined }
}
