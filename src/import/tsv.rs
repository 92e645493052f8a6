//! Tables of start and end in milliseconds, and text, between tabs.

use super::{ImportError, ImportedSegment, ImportedTranscript};

pub fn parse(text: &str) -> Result<ImportedTranscript, ImportError> {
    let mut segments = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || (number == 0 && line.starts_with("start\tend")) {
            continue;
        }
        let mut fields = line.splitn(3, '\t');
        let (Some(start), Some(end), Some(text)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(ImportError::at(number + 1, "not a start, an end and a text between tabs"));
        };
        let seconds = |field: &str| {
            let milliseconds = field.trim().parse::<u32>();
            let wrong = |_| ImportError::at(number + 1, format!("`{field}` is no number of milliseconds"));
            milliseconds.map(|value| f64::from(value) / 1e3).map_err(wrong)
        };
        let (start, end) = (Some(seconds(start)?), Some(seconds(end)?));
        segments.push(ImportedSegment { start, end, text: text.into(), ..ImportedSegment::default() });
    }
    Ok(ImportedTranscript::of_segments(segments))
}
