//! Parses SubRip and WebVTT: cues of text, each after a line with its times.

use super::{ImportError, ImportedSegment, ImportedTranscript};

pub fn srt(text: &str) -> Result<ImportedTranscript, ImportError> {
    let mut labels = Labels::default();
    let segment = |RawCue { start, end, text }: RawCue| {
        let (speaker, text) = labels.split(&without_tags(&text));
        ImportedSegment { start: Some(start), end: Some(end), text, speaker, words: Vec::new() }
    };
    Ok(ImportedTranscript::of_segments(srt_cues(text)?.into_iter().map(segment).collect()))
}

pub fn vtt(text: &str) -> Result<ImportedTranscript, ImportError> {
    let segments = vtt_cues(text)?.into_iter().flat_map(voiced_segments);
    Ok(ImportedTranscript::of_segments(segments.collect()))
}

/// Parses SubRip into cues as they are shown, with the names of speakers in their texts.
pub fn shown_srt(text: &str) -> Result<ImportedTranscript, ImportError> {
    let segments = srt_cues(text)?.into_iter().map(|cue| shown(&cue, without_tags(&cue.text)));
    Ok(ImportedTranscript::of_segments(segments.collect()))
}

/// Parses WebVTT into cues as they are shown, with all voices of a cue in its text.
pub fn shown_vtt(text: &str) -> Result<ImportedTranscript, ImportError> {
    let segments = vtt_cues(text)?.into_iter().map(|cue| shown(&cue, unescape(&without_tags(&cue.text))));
    Ok(ImportedTranscript::of_segments(segments.collect()))
}

fn shown(cue: &RawCue, text: String) -> ImportedSegment {
    ImportedSegment { start: Some(cue.start), end: Some(cue.end), text, ..ImportedSegment::default() }
}

/// A cue with its tags.
struct RawCue {
    start: f64,
    end: f64,
    text: String,
}

fn srt_cues(text: &str) -> Result<Vec<RawCue>, ImportError> {
    let cue = |block: CueBlock<'_>| {
        let (start, end, lines) = block.timed()?;
        Ok(RawCue { start, end, text: strip_overrides(&lines.join("\n")) })
    };
    CueBlocks::new(text).map(cue).collect()
}

fn vtt_cues(text: &str) -> Result<Vec<RawCue>, ImportError> {
    if !text.starts_with("WEBVTT") {
        return Err(ImportError::at(1, "does not start with `WEBVTT`"));
    }
    let mut cues = Vec::new();
    for block in CueBlocks::new(text).skip(1) {
        let first = block.lines[0];
        let kind = first.split([' ', '\t']).next().unwrap_or_default();
        if ["NOTE", "STYLE", "REGION"].contains(&kind) && !first.contains("-->") {
            continue;
        }
        let (start, end, lines) = block.timed()?;
        cues.push(RawCue { start, end, text: lines.join("\n") });
    }
    Ok(cues)
}

fn without_tags(text: &str) -> String {
    voices(text).into_iter().map(|voice| voice.text).collect()
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

/// What one speaker says in a cue.
#[derive(Default)]
struct Voice {
    speaker: Option<String>,
    text: String,
}

/// Removes tags such as `<i>`, `</c>` and `<00:01.000>`, and splits a text where a voice tag names another speaker.
fn voices(text: &str) -> Vec<Voice> {
    let mut voices = vec![Voice::default()];
    let mut rest = text;
    let add = |text: &str, voices: &mut Vec<Voice>| {
        if let Some(last) = voices.last_mut() {
            last.text.push_str(text);
        }
    };
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        add(before, &mut voices);
        let opens = tag[1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/');
        match tag.find('>').filter(|_| opens) {
            Some(end) => {
                if let Some(speaker) = speaker_of(&tag[1..end]) {
                    voices.push(Voice { speaker: Some(speaker), text: String::new() });
                }
                rest = &tag[end + 1..];
            }
            None => {
                add("<", &mut voices);
                rest = &tag[1..];
            }
        }
    }
    add(rest, &mut voices);
    join_voices(voices)
}

/// Returns the name in a voice tag, given what is inside its brackets.
fn speaker_of(tag: &str) -> Option<String> {
    let (name, speaker) = tag.split_once([' ', '\t'])?;
    let speaker = unescape(speaker.trim());
    (name.split('.').next() == Some("v") && !speaker.is_empty()).then_some(speaker)
}

/// Joins the texts of a speaker that follow each other, and drops a blank text before a voice.
fn join_voices(voices: Vec<Voice>) -> Vec<Voice> {
    let mut joined: Vec<Voice> = Vec::new();
    for voice in voices {
        match joined.last_mut() {
            Some(last) if last.speaker == voice.speaker || last.text.trim().is_empty() => {
                last.text.push_str(&voice.text);
                last.speaker = voice.speaker;
            }
            _ => joined.push(voice),
        }
    }
    joined
}

/// Makes a segment for each voice of a cue, and divides its time among them by their letters.
fn voiced_segments(RawCue { start, end, text }: RawCue) -> Vec<ImportedSegment> {
    let voices = voices(&text);
    let is_dialogue = voices.len() > 1;
    let letters = |voice: &Voice| voice.text.trim().chars().count();
    let all = voices.iter().map(letters).sum::<usize>().max(1) as f64;
    let mut reached = 0;
    let segment = |voice: Voice| {
        let from = start + (end - start) * reached as f64 / all;
        reached += letters(&voice);
        let to = start + (end - start) * reached as f64 / all;
        let Voice { speaker, text } = voice;
        let mut text = unescape(&text);
        if is_dialogue {
            let line = text.trim();
            text = line.strip_prefix("- ").unwrap_or(line).to_owned();
        }
        // A name that is to be seen as well.
        let label = speaker.as_ref().map(|name| format!("{name}: "));
        if let Some(rest) = label.and_then(|label| text.strip_prefix(&label)) {
            text = rest.to_owned();
        }
        ImportedSegment { start: Some(from), end: Some(to.min(end)), text, speaker, words: Vec::new() }
    };
    voices.into_iter().map(segment).collect()
}

/// The names before the texts of SubRip: only those that no text begins with. A name such as `Anna: ` stays in the text.
#[derive(Default)]
struct Labels {
    /// The speaker of this program's cues until another one is named.
    last: Option<String>,
}

impl Labels {
    /// Splits the name from a text: `[SPEAKER_00]: ` as whisperX writes it, `SPEAKER_00: ` or `Speaker 1: `.
    fn split(&mut self, text: &str) -> (Option<String>, String) {
        if let Some((name, rest)) = text.strip_prefix('[').and_then(|text| text.split_once("]: "))
            && !name.is_empty()
            && !name.contains(['[', ']', '\n'])
        {
            self.last = None;
            return (Some(name.to_owned()), rest.to_owned());
        }
        let named = text.split_once(": ").filter(|(name, _)| is_numbered(name));
        if let Some((name, rest)) = named {
            self.last = Some(name.to_owned());
            return (self.last.clone(), rest.to_owned());
        }
        // Two speakers have a line each, after which whoever goes on is named.
        if text.starts_with("- ") && text.contains("\n- ") {
            self.last = None;
        }
        (self.last.clone(), text.to_owned())
    }
}

/// Returns whether a name is one that programs give to speakers.
fn is_numbered(name: &str) -> bool {
    let number = name.strip_prefix("SPEAKER_").or(name.strip_prefix("Speaker "));
    number.is_some_and(|number| {
        (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(imported: &ImportedTranscript) -> Vec<(Option<&str>, &str)> {
        imported.segments.iter().map(|segment| (segment.speaker.as_deref(), segment.text.as_str())).collect()
    }

    #[test]
    fn voices_are_speakers_and_two_of_a_cue_divide_its_time() {
        let text = "WEBVTT\n\n00:01.000 --> 00:03.000\n<v Anna &amp; Co>One <i>two</i>\n\n\
                    00:03.000 --> 00:05.000\n<v.loud Ben>- Yes.</v>\n<v Anna>- No.</v>\n\n\
                    00:05.000 --> 00:06.000\nx\n\n00:06.000 --> 00:07.000\n<v Ben>Ben: <v Ben>y\n";
        let read = vtt(text).unwrap();
        let expected = [
            (Some("Anna & Co"), "One two"),
            (Some("Ben"), "Yes."),
            (Some("Anna"), "No."),
            (None, "x"),
            (Some("Ben"), "y"),
        ];
        assert_eq!(spoken(&read), expected);
        let times: Vec<_> = read.segments[1..3].iter().map(|s| (s.start.unwrap(), s.end.unwrap())).collect();
        assert!(times[0].0 == 3.0 && times[0].1 == times[1].0 && times[1].1 == 5.0 && times[0].1 > 4.0);
    }

    #[test]
    fn only_names_that_programs_give_are_taken_from_subrip() {
        let cues = [
            "[SPEAKER_00]: a",
            "b",
            "Speaker 1: c",
            "d",
            "- e\n- f",
            "g",
            "SPEAKER_12: h",
            "Anna: i",
            "[Music]",
        ];
        let text: String = cues.iter().map(|cue| format!("1\n0:01 --> 0:02\n{cue}\n\n")).collect();
        let (one, twelve) = (Some("Speaker 1"), Some("SPEAKER_12"));
        let expected = [
            (Some("SPEAKER_00"), "a"),
            (None, "b"),
            (one, "c"),
            (one, "d"),
            (None, "- e\n- f"),
            (None, "g"),
            (twelve, "h"),
            (twelve, "Anna: i"),
            (twelve, "[Music]"),
        ];
        assert_eq!(spoken(&srt(&text).unwrap()), expected);
    }
}
