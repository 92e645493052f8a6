//! Parses plain text, and tables of start, end and text separated by tabs.

use super::{ImportError, ImportedSegment, ImportedTranscript};

/// Decodes UTF-8, without the byte order mark that some editors add.
pub fn utf8(bytes: &[u8]) -> Result<&str, ImportError> {
    let text = str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        ImportError::at(line, "not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Takes a text without times as a single segment.
pub fn txt(text: &str) -> ImportedTranscript {
    let segments = vec![ImportedSegment { text: text.into(), ..ImportedSegment::default() }];
    ImportedTranscript { language: None, text: text.into(), segments }
}

/// Parses lines of start and end in milliseconds and a text, after an optional header line, which may name a fourth
/// column: the speaker.
pub fn tsv(text: &str) -> Result<ImportedTranscript, ImportError> {
    let mut segments = Vec::new();
    let has_speakers = text.lines().next() == Some("start\tend\ttext\tspeaker");
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || (index == 0 && line.starts_with("start\tend")) {
            continue;
        }
        let mut fields = line.splitn(3, '\t');
        let (Some(start), Some(end), Some(text)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(ImportError::at(index + 1, "expected start, end and text separated by tabs"));
        };
        let seconds = |field: &str| {
            let milliseconds = field.trim().parse::<u32>();
            let invalid =
                |_| ImportError::at(index + 1, format!("`{field}` is not a number of milliseconds"));
            milliseconds.map(|value| f64::from(value) / 1e3).map_err(invalid)
        };
        let (start, end) = (Some(seconds(start)?), Some(seconds(end)?));
        let (text, speaker) = match text.rsplit_once('\t').filter(|_| has_speakers) {
            Some((text, speaker)) => (text, Some(speaker.to_owned()).filter(|name| !name.is_empty())),
            None => (text, None),
        };
        segments.push(ImportedSegment { start, end, text: text.into(), speaker, words: Vec::new() });
    }
    Ok(ImportedTranscript::of_segments(segments))
}
