//! Plain text: one line per segment, or if speakers are known a paragraph for each turn, after its speaker's name.

use crate::export::cues::is_unspaced;
use crate::export::cues::speakers::{has_speakers, shown_name};
use crate::export::partial::partial_segment;
use crate::export::{Rendering, python};
use crate::transcript::Segment;

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let transcript = rendering.transcript();
    let mut out = String::new();
    if has_speakers(transcript) {
        let paragraphs: Vec<String> = turns(&transcript.segments).map(paragraph).collect();
        out.push_str(&paragraphs.join("\n"));
        out.extend(partial_segment(transcript).map(|mark| format!("\n{}\n", mark.text)));
        return out.into_bytes();
    }
    for segment in transcript.segments.iter().chain(&partial_segment(transcript)) {
        out.push_str(python::strip(&segment.text));
        out.push('\n');
    }
    out.into_bytes()
}

/// Returns the segments with text that follow each other and are of one speaker, or of nobody known.
fn turns(segments: &[Segment]) -> impl Iterator<Item = Vec<&Segment>> {
    let mut turns: Vec<Vec<&Segment>> = Vec::new();
    for segment in segments.iter().filter(|segment| !python::strip(&segment.text).is_empty()) {
        match turns.last_mut() {
            Some(turn) if turn[0].speaker == segment.speaker => turn.push(segment),
            _ => turns.push(vec![segment]),
        }
    }
    turns.into_iter()
}

fn paragraph(turn: Vec<&Segment>) -> String {
    let mut text = String::new();
    for segment in &turn {
        let next = python::strip(&segment.text);
        let is_joined = text.ends_with(is_unspaced) || next.starts_with(is_unspaced);
        // Some programs write texts without the blank before them.
        if !text.is_empty() && (!is_joined || segment.text.starts_with(python::is_space)) {
            text.push(' ');
        }
        text.push_str(next);
    }
    let name = turn.first().and_then(|segment| segment.speaker.as_deref());
    let label = name.map(|name| format!("{}: ", shown_name(name))).unwrap_or_default();
    format!("{label}{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::ExportOptions;
    use crate::transcript::Transcript;

    #[test]
    fn turns_are_paragraphs() {
        let parts = [
            (Some("A"), " One."),
            (Some("A"), "Two."),
            (None, " "),
            (Some("B"), "你好。"),
            (Some("B"), "再见"),
            (None, " C."),
        ];
        let segment = |(speaker, text): (Option<&str>, &str)| Segment {
            text: text.into(),
            speaker: speaker.map(str::to_owned),
            ..Segment::default()
        };
        let mut transcript =
            Transcript { segments: parts.map(segment).to_vec(), is_partial: true, ..Transcript::default() };
        let written = |transcript: &Transcript| {
            let options = ExportOptions::default();
            String::from_utf8(write(&Rendering::new(transcript, &options))).unwrap()
        };
        assert_eq!(written(&transcript), "A: One. Two.\n\nB: 你好。再见\n\nC.\n\n[partial]\n");
        transcript.segments.iter_mut().for_each(|segment| segment.speaker = None);
        assert!(written(&transcript).starts_with("One.\nTwo.\n\n你好。\n"));
    }
}
