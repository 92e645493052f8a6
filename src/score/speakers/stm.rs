//! Parses STM, NIST's lines of a reference: recording, channel, speaker, start, end, an optional label, and the text.

use crate::import::{ImportError, ImportedSegment, ImportedTranscript};

/// Text of a stretch that is not to be scored.
const IGNORED: &str = "ignore_time_segment_in_scoring";
/// Speaker of a stretch in which nobody speaks.
const GAP: &str = "inter_segment_gap";

/// Parses the segments of one recording. Comments after `;;`, gaps and stretches that are not to be scored are left out.
pub fn parse_stm(bytes: &[u8]) -> Result<ImportedTranscript, ImportError> {
    let text = str::from_utf8(bytes).map_err(|_| ImportError { line: None, why: "not UTF-8".into() })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut recording = None;
    let mut segments = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = |why: String| ImportError { line: Some(index + 1), why };
        if line.trim().is_empty() || line.trim_start().starts_with(";;") {
            continue;
        }
        let mut fields = line.split_whitespace();
        let mut field = || fields.next();
        let (Some(file), Some(_channel), Some(speaker), Some(start), Some(end)) =
            (field(), field(), field(), field(), field())
        else {
            return Err(at("expected a file, a channel, a speaker, start, end and a text".into()));
        };
        let seconds = |field: &str| {
            let seconds = field.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            seconds.ok_or_else(|| at(format!("`{field}` is not a number of seconds")))
        };
        let (start, end) = (seconds(start)?, seconds(end)?);
        if end < start {
            return Err(at("ends before it starts".into()));
        }
        if *recording.get_or_insert(file) != file {
            return Err(at(format!("another recording, `{file}`; make a file of each")));
        }
        let is_label = |word: &&str| word.starts_with('<') && word.ends_with('>');
        let words: Vec<&str> = fields.skip_while(is_label).collect();
        if speaker != GAP && !words.iter().any(|word| word.eq_ignore_ascii_case(IGNORED)) {
            segments.push(ImportedSegment {
                start: Some(start),
                end: Some(end),
                text: words.join(" "),
                speaker: Some(speaker.to_owned()),
                ..ImportedSegment::default()
            });
        }
    }
    let text = segments.iter().map(|segment| segment.text.as_str()).collect::<Vec<_>>().join("\n");
    Ok(ImportedTranscript { language: None, text, segments })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_speakers_times_and_texts() {
        let text = ";; CATEGORY \"0\"\ntalk 1 inter_segment_gap 0 0.5 <o,f0>\n\
                    talk 1 Anna 0.5 2 <o,f0,female> good  morning\n\ntalk 1 Ben 1.5 3 yes\n\
                    talk 1 Ben 4 5 <o> IGNORE_TIME_SEGMENT_IN_SCORING\n";
        let found = parse_stm(text.as_bytes()).unwrap();
        let segments = found.segments.iter().map(|s| (s.speaker.as_deref(), s.start, s.end, s.text.as_str()));
        let expected = [
            (Some("Anna"), Some(0.5), Some(2.0), "good morning"),
            (Some("Ben"), Some(1.5), Some(3.0), "yes"),
        ];
        assert_eq!(segments.collect::<Vec<_>>(), expected);
        assert_eq!(found.text, "good morning\nyes");
    }

    #[test]
    fn says_which_line_is_wrong() {
        for (text, line, why) in [
            ("\na 1 A 0", 2, "expected a file, a channel, a speaker, start, end and a text"),
            ("a 1 A x 1 t", 1, "`x` is not a number of seconds"),
            ("a 1 A 2 1 t", 1, "ends before it starts"),
            ("a 1 A 0 1 t\nb 1 A 0 1 t", 2, "another recording, `b`; make a file of each"),
        ] {
            let expected = ImportError { line: Some(line), why: why.into() };
            assert_eq!(parse_stm(text.as_bytes()), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn parses_or_rejects_any_text(parts in prop::collection::vec(prop::sample::select(vec![
            "a", " ", "\n", ";;", "1", "0.5", "-1", "NaN", "<o>", "é", "1e999",
        ]), 0..40)) {
            let _ = parse_stm(parts.concat().as_bytes());
        }
    }
}
