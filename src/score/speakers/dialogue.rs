//! Finds the speakers in a plain text of lines such as `Anna: Good morning.`

use crate::import::{ImportedSegment, ImportedTranscript};

/// Characters of a name at most; what is before the first colon of prose is usually longer.
const MAX_NAME: usize = 40;

/// Splits a text without times into the lines of its speakers. Any other transcript is returned as it is, and so is a text
/// with a line that names nobody.
pub fn label_dialogue(transcript: ImportedTranscript) -> ImportedTranscript {
    let [ImportedSegment { start: None, end: None, speaker: None, .. }] = transcript.segments.as_slice()
    else {
        return transcript;
    };
    let lines = transcript.text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(segments) = lines.map(labelled).collect::<Option<Vec<_>>>() else { return transcript };
    if segments.is_empty() {
        return transcript;
    }
    let text = segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join("\n");
    ImportedTranscript { text, segments, ..transcript }
}

fn labelled(line: &str) -> Option<ImportedSegment> {
    let (name, text) = line.split_once(':')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && name.chars().count() <= MAX_NAME
        && name.chars().any(char::is_alphanumeric)
        && (text.is_empty() || text.starts_with(char::is_whitespace));
    is_name.then(|| ImportedSegment {
        speaker: Some(name.to_owned()),
        text: text.trim().to_owned(),
        ..ImportedSegment::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{ImportFormat, parse};

    fn labels(text: &str) -> Vec<(Option<String>, String)> {
        let found = label_dialogue(parse(ImportFormat::Txt, text.as_bytes()).unwrap());
        found.segments.into_iter().map(|segment| (segment.speaker, segment.text)).collect()
    }

    #[test]
    fn every_line_must_name_its_speaker() {
        let expected = [("Anna", "Good morning: all."), ("Speaker 2", ""), ("Anna", "Bye.")]
            .map(|(name, text)| (Some(name.to_owned()), text.to_owned()));
        assert_eq!(labels("Anna: Good morning: all.\n\nSpeaker 2:\n Anna : Bye.\n"), expected);
        for text in ["Anna: Hi.\nHow are you?", "At 10:30", "", "\n", ": x", "Anna:Hi"] {
            assert_eq!(labels(text), [(None, text.to_owned())]);
        }
    }
}
