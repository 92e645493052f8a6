//! Parses SubRip and WebVTT: cues of text, each after a line with its times.

use super::{ImportError, ImportedSegment, ImportedTranscript};

pub fn srt(text: &str) -> Result<ImportedTranscript, ImportError> {
    let mut segments = Vec::new();
    for block in CueBlocks::new(text) {
        let (start, end, lines) = block.timed()?;
        let text = strip_tags(&strip_overrides(&lines.join("\n"))).0;
        segments.push(ImportedSegment {
            start: Some(start),
            end: Some(end),
            text,
            ..ImportedSegment::default()
        });
    }
    Ok(ImportedTranscript::of_segments(segments))
}

pub fn vtt(text: &str) -> Result<ImportedTranscript, ImportError> {
    if !text.starts_with("WEBVTT") {
        return Err(ImportError::at(1, "does not start with `WEBVTT`"));
    }
    let mut segments = Vec::new();
    for block in CueBlocks::new(text).skip(1) {
        let first = block.lines[0];
        let kind = first.split([' ', '\t']).next().unwrap_or_default();
        if ["NOTE", "STYLE", "REGION"].contains(&kind) && !first.contains("-->") {
            continue;
        }
        let (start, end, lines) = block.timed()?;
        let (text, speaker) = strip_tags(&lines.join("\n"));
        let text = unescape(&text);
        segments.push(ImportedSegment {
            start: Some(start),
            end: Some(end),
            text,
            speaker,
            words: Vec::new(),
        });
    }
    Ok(ImportedTranscript::of_segments(segments))
}

/// Consecutive non-blank lines.
struct CueBlock<'t> {
    /// The number of its first line, from 1.
    first_line: usize,
    lines: Vec<&'t str>,
}

/// Splits a text into blocks.
struct CueBlocks<'t> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'t>>>,
}

impl<'t> CueBlocks<'t> {
    fn new(text: &'t str) -> Self {
        Self { lines: text.lines().enumerate().peekable() }
    }
}

impl<'t> Iterator for CueBlocks<'t> {
    type Item = CueBlock<'t>;

    fn next(&mut self) -> Option<CueBlock<'t>> {
        let is_blank = |line: &str| line.trim().is_empty();
        while self.lines.next_if(|(_, line)| is_blank(line)).is_some() {}
        let first_line = self.lines.peek()?.0 + 1;
        let mut lines = Vec::new();
        while let Some((_, line)) = self.lines.next_if(|(_, line)| !is_blank(line)) {
            lines.push(line);
        }
        Some(CueBlock { first_line, lines })
    }
}

impl<'t> CueBlock<'t> {
    /// Returns start and end, and the lines after them.
    fn timed(&self) -> Result<(f64, f64, &[&'t str]), ImportError> {
        // An index or an identifier may come first.
        let at = self.lines.iter().take(2).position(|line| line.contains("-->"));
        let Some(at) = at else {
            let first = self.lines[0].trim().chars().take(40).collect::<String>();
            return Err(ImportError::at(
                self.first_line,
                format!("expected a line with cue times after `{first}`"),
            ));
        };
        let line = self.first_line + at;
        let (start, end) = self.lines[at].split_once("-->").unwrap_or_default();
        let end = end.split_whitespace().next().unwrap_or_default();
        let seconds = |text: &str| {
            let text = text.trim();
            parse_time(text).ok_or_else(|| ImportError::at(line, format!("`{text}` is not a time")))
        };
        let (start, end) = (seconds(start)?, seconds(end)?);
        if end < start {
            return Err(ImportError::at(line, "ends before it starts"));
        }
        Ok((start, end, &self.lines[at + 1..]))
    }
}

/// Parses `1:02:03,450`, `02:03.450` or shorter forms.
fn parse_time(text: &str) -> Option<f64> {
    let mut parts = text.split(':').rev();
    let seconds = parts.next()?.replace(',', ".");
    let whole = |text: &str, below: u32| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u32>().ok().filter(|value| plain && *value < below)
    };
    let (full, fraction) = seconds.split_once('.').unwrap_or((&seconds, "0"));
    let full = whole(full, 60)?;
    let minutes = whole(parts.next()?, 60)?;
    let hours = parts.next().map_or(Some(0), |hours| whole(hours, 100_000))?;
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Parsed as a single number, so that it is the closest one to the written value.
    format!("{}.{fraction}", (hours * 60 + minutes) * 60 + full).parse().ok()
}

/// Removes style overrides such as `{\an8}`.
fn strip_overrides(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("{\\") {
        let Some(length) = rest[at..].find('}') else { break };
        out.push_str(&rest[..at]);
        rest = &rest[at + length + 1..];
    }
    out + rest
}

/// Removes tags such as `<i>`, `</c>` and `<00:01.000>`, and returns the speaker if a voice tag names one.
fn strip_tags(text: &str) -> (String, Option<String>) {
    let mut out = String::with_capacity(text.len());
    let mut speaker = None;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let opens = tag[1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
        match tag.find('>').filter(|_| opens) {
            Some(end) => {
                let inside = &tag[1..end];
                let voice =
                    inside.split_once([' ', '\t']).filter(|(name, _)| name.split('.').next() == Some("v"));
                speaker = speaker.or(voice.map(|(_, name)| name.trim().to_owned()));
                rest = &tag[end + 1..];
            }
            None => {
                out.push('<');
                rest = &tag[1..];
            }
        }
    }
    (out + rest, speaker)
}

/// Replaces character entities.
fn unescape(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", "\u{a0}"),
        ("&lrm;", "\u{200e}"),
        ("&rlm;", "\u{200f}"),
        ("&amp;", "&"),
    ];
    entities.iter().fold(text.to_owned(), |text, (entity, meaning)| text.replace(entity, meaning))
}
