//! A transcript as the pieces of text that stay together: words, and characters where no blanks part words.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::export::python;
use crate::transcript::{Segment, Transcript};

/// No recording is longer: thirty years, which leaves room to reckon.
const LATEST: f64 = 1e12;

/// A piece of text that is never broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// Without blanks around it.
    pub text: String,
    /// A blank stands before it, unless it begins a line.
    pub spaced: bool,
    /// Columns.
    pub width: usize,
    /// Milliseconds; neither decreases from unit to unit.
    pub start: i64,
    pub end: i64,
    pub ends_segment: bool,
}

/// All units of a transcript; what is wider than a line is broken where its script allows it.
pub fn units(transcript: &Transcript, line_width: usize) -> Vec<Unit> {
    let mut maker = Maker { units: Vec::new(), line_width, now: 0 };
    for segment in &transcript.segments {
        maker.add_segment(segment);
    }
    maker.units
}

struct Maker {
    units: Vec<Unit>,
    line_width: usize,
    /// Nothing begins before this.
    now: i64,
}

/// A text and when it is said, before it is cut.
struct Span<'a> {
    text: &'a str,
    start: f64,
    end: f64,
    /// Its times hold only for the whole.
    is_spread: bool,
}

impl Maker {
    fn add_segment(&mut self, segment: &Segment) {
        let first = self.units.len();
        match segment.words.as_deref() {
            Some(words) if !words.is_empty() => {
                for word in words {
                    let (start, end) = (word.start, word.end);
                    self.add(&Span { text: &word.word, start, end, is_spread: false }, first);
                }
            }
            _ => {
                let Segment { text, start, end, .. } = segment;
                self.add(&Span { text, start: *start, end: *end, is_spread: true }, first);
            }
        }
        let begins_glued = match (self.units.get(first.wrapping_sub(1)), self.units.get(first)) {
            (Some(before), Some(unit)) => {
                unit.text.starts_with(is_unspaced) || before.text.ends_with(is_unspaced)
            }
            _ => false,
        };
        if let Some(unit) = self.units.get_mut(first) {
            unit.spaced = !begins_glued;
        }
        if let Some(last) = self.units[first..].last_mut() {
            last.ends_segment = true;
        }
    }

    /// Cuts a text into units; its time is shared out by columns.
    fn add(&mut self, span: &Span<'_>, first: usize) {
        let mut pieces: Vec<(&str, bool)> = Vec::new();
        let mut spaced = false;
        for part in span.text.split_inclusive(is_break) {
            let piece = python::strip(part);
            spaced |= part.starts_with(python::is_space);
            if !piece.is_empty() {
                self.cut(piece, spaced, span.is_spread, &mut pieces);
                spaced = false;
            }
            spaced |= part.ends_with(python::is_space);
        }
        let widths: Vec<usize> = pieces.iter().map(|(piece, _)| columns(piece).max(1)).collect();
        let all: usize = widths.iter().sum();
        let start = to_ms(span.start).max(self.now);
        let length = to_ms(span.end).saturating_sub(start).max(0);
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
                },
                first,
            );
        }
    }

    /// A text without blanks: as it is, or in characters if it may be broken between them and has to be.
    fn cut<'t>(&self, piece: &'t str, spaced: bool, is_spread: bool, pieces: &mut Vec<(&'t str, bool)>) {
        let must = is_spread || columns(piece) > self.line_width;
        if !must || !piece.contains(is_unspaced) {
            pieces.push((piece, spaced));
            return;
        }
        let (mut from, mut before) = (0, None::<char>);
        for (at, character) in piece.char_indices() {
            let parts = before.is_some_and(|before| may_part(before, character));
            if parts {
                pieces.push((&piece[from..at], spaced && from == 0));
                from = at;
            }
            before = Some(character);
        }
        pieces.push((&piece[from..], spaced && from == 0));
    }

    fn push(&mut self, unit: Unit, first: usize) {
        self.now = self.now.max(unit.start);
        // What cannot begin a line goes with what is before it.
        let clings = !unit.spaced && unit.text.starts_with(clings_before);
        let held = self.units.get(first..).and_then(<[Unit]>::last).is_some_and(|last| {
            (clings || (!unit.spaced && last.text.ends_with(clings_behind)))
                && last.width + unit.width <= self.line_width
        });
        match self.units.last_mut() {
            Some(last) if held => {
                last.text.push_str(&unit.text);
                last.width += unit.width;
                last.end = last.end.max(unit.end);
            }
            _ => self.units.push(unit),
        }
    }
}

/// Seconds of whatever kind as milliseconds to reckon with.
fn to_ms(seconds: f64) -> i64 {
    // What is not a number is not later than anything.
    if seconds.is_nan() { 0 } else { python::milliseconds(seconds.clamp(0.0, LATEST / 1000.0)) }
}

pub fn columns(text: &str) -> usize {
    text.width()
}

/// Blanks at which a line may end; some are there to forbid it.
fn is_break(character: char) -> bool {
    python::is_space(character) && !['\u{a0}', '\u{202f}', '\u{2007}'].contains(&character)
}

/// Of a script that writes words without blanks between them.
fn is_unspaced(character: char) -> bool {
    let is_wide = character.width() == Some(2) && !('\u{ac00}'..='\u{d7a3}').contains(&character);
    // Thai and Lao, Burmese, Khmer.
    let in_south_east_asia =
        matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}');
    (is_wide && !is_emoji(character)) || in_south_east_asia
}

fn is_emoji(character: char) -> bool {
    ('\u{1f000}'..='\u{1faff}').contains(&character)
}

fn may_part(before: char, behind: char) -> bool {
    (is_unspaced(before) || is_unspaced(behind)) && !clings_before(behind) && !clings_behind(before)
}

/// Never begins a line: marks on the character before, and what closes or ends something.
fn clings_before(character: char) -> bool {
    character.width().unwrap_or(0) == 0
        || ")]}.,;:!?%'\"’”»、。，．；：！？）」』】〉》〕ー・…々ぁぃぅぇぉっゃゅょァィゥェォッャュョะาำๅๆฯ"
            .contains(character)
}

/// Never ends a line.
fn clings_behind(character: char) -> bool {
    "([{“‘«（「『【〈《〔เแโใไ\u{200d}".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::cues::readable::tests::transcript;

    /// A text, and its words.
    type Said<'t> = (&'t str, &'t [&'t str]);

    fn texts(segments: &[Said<'_>]) -> Vec<(String, bool)> {
        let made = units(&transcript(segments), 12);
        made.into_iter().map(|unit| (unit.text, unit.spaced)).collect()
    }

    fn joined(segments: &[Said<'_>]) -> String {
        let parts: Vec<String> = texts(segments)
            .into_iter()
            .map(|(text, spaced)| if spaced { format!("_{text}") } else { text })
            .collect();
        parts.join("|")
    }

    #[test]
    fn words_and_characters_are_what_stays_together() {
        let cases: [(&[Said<'_>], &str); 8] = [
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
