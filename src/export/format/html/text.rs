//! The text of a page: a row for each segment, an element for each word.

use super::Page;
use super::escape::{clock, escaped, number};
use crate::transcript::{Segment, Transcript, confidence};

/// The probabilities below which text is shaded, darker the less likely it is.
pub const LEVELS: [f64; 3] = [0.25, 0.5, 0.75];

/// The number of rows that a browser lays out together when they come into view.
const GROUP_LENGTH: usize = 50;

/// The number of colours of speakers.
const COLOURS: usize = 6;

/// Returns the segments that have rows: those with text.
pub fn shown(transcript: &Transcript) -> impl Iterator<Item = &Segment> {
    transcript.segments.iter().filter(|segment| !segment.text.trim().is_empty())
}

/// Returns a row for each segment with text.
pub fn rows(page: &Page<'_>) -> String {
    let mut out = String::new();
    let mut language = page.transcript.language.as_str();
    let spoken: Vec<&Segment> = shown(page.transcript).collect();
    for group in spoken.chunks(GROUP_LENGTH) {
        out.push_str("<div class=\"g\">\n");
        for segment in group {
            let own = segment.language.as_deref().unwrap_or(&page.transcript.language);
            row(page, segment, own, own != language, &mut out);
            language = own;
        }
        out.push_str("</div>\n");
    }
    out
}

/// `is_new` says whether the language differs from that of the row before.
fn row(page: &Page<'_>, segment: &Segment, language: &str, is_new: bool, out: &mut String) {
    let probability = confidence(segment);
    let (start, end) = (number(segment.start), number(segment.end));
    let (level, percent) = (level_class(page, probability), probability_attribute(page, probability));
    out.push_str(&format!("<p class=\"s{level}\" role=listitem data-t={start} data-u={end}{percent}>"));
    let at = clock(segment.start);
    out.push_str(&format!("<a class=\"time\" href=\"#t={start}\">{at}</a>"));
    if is_new && !language.is_empty() {
        out.push_str(&format!("<span class=\"language\">{}</span>", escaped(language)));
    }
    if let Some(name) = segment.speaker.as_deref() {
        let colour = page.speakers.iter().position(|known| *known == name).unwrap_or_default() % COLOURS;
        out.push_str(&format!("<b class=\"speaker v{colour}\">{}</b>", escaped(name)));
    }
    out.push_str("<span class=\"t\" dir=\"auto\"");
    if segment.language.is_some() && !language.is_empty() {
        out.push_str(&format!(" lang=\"{}\"", escaped(language)));
    }
    out.push('>');
    match segment.words.as_deref() {
        Some(words @ [_, ..]) => {
            for (i, word) in words.iter().enumerate() {
                // A row starts with a word rather than the space before it.
                let text = if i == 0 { word.word.trim_start() } else { &word.word };
                push(page, text, word.start, word.end, word.probability, out);
            }
        }
        _ => push(page, segment.text.trim(), segment.start, segment.end, probability, out),
    }
    out.push_str("</span></p>\n");
}

/// Writes a clickable text; the white space around it is not clickable.
fn push(page: &Page<'_>, text: &str, start: f64, end: f64, probability: f64, out: &mut String) {
    let word = text.trim();
    let (before, after) = match text.find(word) {
        Some(at) => (&text[..at], &text[at + word.len()..]),
        None => ("", ""),
    };
    out.push_str(&escaped(before));
    if !word.is_empty() {
        let (start, end) = (number(start), number(end.max(start)));
        let (level, percent) = (level_class(page, probability), probability_attribute(page, probability));
        out.push_str(&format!("<span class=\"w{level}\" data-t={start} data-u={end}{percent}>"));
        out.push_str(&escaped(word));
        out.push_str("</span>");
    }
    out.push_str(&escaped(after));
}

fn level_class(page: &Page<'_>, probability: f64) -> String {
    let level = LEVELS.iter().position(|least| probability < *least).filter(|_| page.is_rated);
    level.map(|level| format!(" c{level}")).unwrap_or_default()
}

fn probability_attribute(page: &Page<'_>, probability: f64) -> String {
    match page.is_rated {
        true => format!(" data-p={:.0}", probability.clamp(0.0, 1.0) * 100.0),
        false => String::new(),
    }
}
