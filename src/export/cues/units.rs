//! Splits a transcript into units of text that are never broken: words, and characters in scripts without spaces.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::speakers;
use crate::export::python;
use crate::transcript::{Segment, Transcript};

/// The latest time in milliseconds: thirty years, so that sums cannot overflow.
const LATEST: f64 = 1e12;

/// A piece of text that is never broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The text without white space around it.
    pub text: String,
    /// Whether a space precedes it unless it starts a line.
    pub spaced: bool,
    /// The width in columns.
    pub width: usize,
    /// Times in milliseconds; neither decreases from unit to unit.
    pub start: i64,
    pub end: i64,
    pub ends_segment: bool,
    /// Who speaks it: an index in the list of [`speakers::names`].
    pub speaker: Option<usize>,
}

/// Returns the units of a transcript; text wider than a line is broken where its script allows it.
pub fn units(transcript: &Transcript, line_width: usize) -> Vec<Unit> {
    let names = speakers::names(transcript);
    let mut splitter = UnitSplitter { units: Vec::new(), line_width, now: 0, names };
    for segment in &transcript.segments {
        splitter.add_segment(segment);
    }
    splitter.units
}

struct UnitSplitter<'t> {
    units: Vec<Unit>,
    line_width: usize,
    /// The earliest start of the next unit.
    now: i64,
    /// The names of the speakers.
    names: Vec<&'t str>,
}

/// A text that has not been split yet.
struct TimedText<'a> {
    text: &'a str,
    start: f64,
    end: f64,
    /// Whether the times are those of a whole segment, to be divided among its units.
    is_segment: bool,
    speaker: Option<usize>,
}

impl UnitSplitter<'_> {
    fn add_segment(&mut self, segment: &Segment) {
        let first = self.units.len();
        let index =
            |name: &Option<String>| self.names.iter().position(|known| Some(*known) == name.as_deref());
        let speaker = index(&segment.speaker);
        let speakers: Vec<Option<usize>> =
            segment.words.iter().flatten().map(|word| index(&word.speaker).or(speaker)).collect();
        match segment.words.as_deref() {
            Some(words) if !words.is_empty() => {
                for (word, speaker) in words.iter().zip(speakers) {
                    let (start, end) = (word.start, word.end);
                    self.add(&TimedText { text: &word.word, start, end, is_segment: false, speaker }, first);
                }
            }
            _ => {
                let Segment { text, start, end, .. } = segment;
                self.add(&TimedText { text, start: *start, end: *end, is_segment: true, speaker }, first);
            }
        }
        let follows_directly = match (self.units.get(first.wrapping_sub(1)), self.units.get(first)) {
            (Some(before), Some(unit)) => {
                unit.text.starts_with(is_unspaced) || before.text.ends_with(is_unspaced)
            }
            _ => false,
        };
        if let Some(unit) = self.units.get_mut(first) {
            unit.spaced = !follows_directly;
        }
        if let Some(last) = self.units[first..].last_mut() {
            last.ends_segment = true;
        }
    }

    /// Splits a text into units and divides its time among them by columns. `first` is the segment's first unit.
    fn add(&mut self, timed: &TimedText<'_>, first: usize) {
        let mut pieces: Vec<(&str, bool)> = Vec::new();
        let mut spaced = false;
        for part in timed.text.split_inclusive(is_break) {
            let piece = python::strip(part);
            spaced |= part.starts_with(python::is_space);
            if !piece.is_empty() {
                self.split(piece, spaced, timed.is_segment, &mut pieces);
                spaced = false;
            }
            spaced |= part.ends_with(python::is_space);
        }
        let widths: Vec<usize> = pieces.iter().map(|(piece, _)| columns(piece).max(1)).collect();
        let all: usize = widths.iter().sum();
        let start = to_ms(timed.start).max(self.now);
        let length = to_ms(timed.end).saturating_sub(start).max(0);
        let at = |columns: usize| start + (length as f64 * columns as f64 / all.max(1) as f64) as i64;
        let mut reached = 0;
        for ((piece, spaced), width) in pieces.into_iter().zip(widths) {
            let (start, end) = (at(reached), at(reached + width));
            reached += width;
            self.push(
                Unit {
                    text: piece.replace("-->", "->"),
                    spaced,
                    width: columns(piece),
                    start,
                    end,
                    ends_segment: false,
                    speaker: timed.speaker,
                },
                first,
            );
        }
    }

    /// Adds a text without white space to `pieces`: whole, or in characters if it can and must be broken between them.
    fn split<'t>(&self, piece: &'t str, spaced: bool, is_segment: bool, pieces: &mut Vec<(&'t str, bool)>) {
        let must_split = is_segment || columns(piece) > self.line_width;
        if !must_split || !piece.contains(is_unspaced) {
            pieces.push((piece, spaced));
            return;
        }
        let (mut from, mut before) = (0, None::<char>);
        for (at, character) in piece.char_indices() {
            if before.is_some_and(|before| can_split(before, character)) {
                pieces.push((&piece[from..at], spaced && from == 0));
                from = at;
            }
            before = Some(character);
        }
        pieces.push((&piece[from..], spaced && from == 0));
    }

    fn push(&mut self, unit: Unit, first: usize) {
        self.now = self.now.max(unit.start);
        // A text that cannot start a line is appended to the unit before it.
        let joins = !unit.spaced && unit.text.starts_with(never_starts_line);
        let is_appended = self.units.get(first..).and_then(<[Unit]>::last).is_some_and(|last| {
            (joins || (!unit.spaced && last.text.ends_with(never_ends_line)))
                && last.width + unit.width <= self.line_width
                && last.speaker == unit.speaker
        });
        match self.units.last_mut() {
            Some(last) if is_appended => {
                last.text.push_str(&unit.text);
                last.width += unit.width;
                last.end = last.end.max(unit.end);
            }
            _ => self.units.push(unit),
        }
    }
}

/// Converts any number of seconds to milliseconds that can be added without overflow.
fn to_ms(seconds: f64) -> i64 {
    // NaN must not delay anything.
    if seconds.is_nan() { 0 } else { python::milliseconds(seconds.clamp(0.0, LATEST / 1000.0)) }
}

/// Returns the width of a text in columns.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Returns whether a line may end at this white space; no-break spaces forbid it.
fn is_break(character: char) -> bool {
    python::is_space(character) && !['\u{a0}', '\u{202f}', '\u{2007}'].contains(&character)
}

/// Returns whether a character belongs to a script that does not put spaces between words.
pub fn is_unspaced(character: char) -> bool {
    let is_wide = character.width() == Some(2) && !('\u{ac00}'..='\u{d7a3}').contains(&character);
    // Thai and Lao, Burmese, Khmer.
    let in_south_east_asia =
        matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}');
    (is_wide && !is_emoji(character)) || in_south_east_asia
}

fn is_emoji(character: char) -> bool {
    ('\u{1f000}'..='\u{1faff}').contains(&character)
}

fn can_split(before: char, after: char) -> bool {
    (is_unspaced(before) || is_unspaced(after)) && !never_starts_line(after) && !never_ends_line(before)
}

/// Returns whether a character never starts a line: combining marks, and closing or ending punctuation.
fn never_starts_line(character: char) -> bool {
    character.width().unwrap_or(0) == 0
        || ")]}.,;:!?%'\"’”»、。，．；：！？）」』】〉》〕ー・…々ぁぃぅぇぉっゃゅょァィゥェォッャュョะาำๅๆฯ"
            .contains(character)
}

/// Returns whether a character never ends a line.
fn never_ends_line(character: char) -> bool {
    "([{“‘«（「『【〈《〔เแโใไ\u{200d}".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::cues::readable::tests::transcript;

    /// The text of a segment, and its words.
    type TextAndWords<'t> = (&'t str, &'t [&'t str]);

    fn texts(segments: &[TextAndWords<'_>]) -> Vec<(String, bool)> {
        let made = units(&transcript(segments), 12);
        made.into_iter().map(|unit| (unit.text, unit.spaced)).collect()
    }

    fn joined(segments: &[TextAndWords<'_>]) -> String {
        let parts: Vec<String> = texts(segments)
            .into_iter()
            .map(|(text, spaced)| if spaced { format!("_{text}") } else { text })
            .collect();
        parts.join("|")
    }

    #[test]
    fn splits_into_words_and_characters() {
        let cases: [(&[TextAndWords<'_>], &str); 8] = [
            (&[("", &[" Open", " the", " door."])], "_Open|_the|_door."),
            (&[(" Open the\ndoor. ", &[])], "_Open|_the|_door."),
            (&[("a", &[]), ("b", &[])], "_a|_b"),
            (&[("", &[" 10\u{a0}€", " now"])], "_10\u{a0}€|_now"),
            (&[("你好，世界。", &[]), ("再见", &[])], "_你|好，|世|界。|再|见"),
            (&[("", &["你好", "世界"])], "_你好|世界"),
            (&[("", &["这是一个很长的句子吗"])], "_这|是|一|个|很|长|的|句|子|吗"),
            (&[("ภาษาไทย", &[])], "_ภา|ษา|ไท|ย"),
        ];
        for (segments, expected) in cases {
            assert_eq!(joined(segments), expected);
        }
        assert!(texts(&[("  ", &[" ", ""]), ("", &[])]).is_empty());
    }
}
