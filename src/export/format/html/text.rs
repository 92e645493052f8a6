//! The text of a page: a row for each segment, an element for each word.

use super::Page;
use super::escape::{clock, escaped, number};
use crate::transcript::{Segment, confidence};

/// Below these a text is shaded, the less likely the darker.
pub const LEVELS: [f64; 3] = [0.25, 0.5, 0.75];

/// Everything that was said.
pub fn rows(page: &Page<'_>) -> String {
    let mut out = String::new();
    let mut language = page.transcript.language.as_str();
    for segment in page.transcript.segments.iter().filter(|segment| !segment.text.trim().is_empty()) {
        let own = segment.language.as_deref().unwrap_or(&page.transcript.language);
        row(page, segment, own, own != language, &mut out);
        language = own;
    }
    out
}

fn row(page: &Page<'_>, segment: &Segment, language: &str, is_new: bool, out: &mut String) {
    let likely = confidence(segment);
    let (start, end) = (number(segment.start), number(segment.end));
    let (level, percent) = (level(page, likely), rated(page, likely));
    out.push_str(&format!("<p class=\"s{level}\" data-t={start} data-u={end}{percent}>"));
    let at = clock(segment.start);
    out.push_str(&format!("<a class=\"time\" href=\"#t={start}\">{at}</a>"));
    if is_new && !language.is_empty() {
        out.push_str(&format!("<span class=\"language\">{}</span>", escaped(language)));
    }
    out.push_str("<span class=\"t\" dir=\"auto\"");
    if segment.language.is_some() && !language.is_empty() {
        out.push_str(&format!(" lang=\"{}\"", escaped(language)));
    }
    out.push('>');
    match segment.words.as_deref() {
        Some(words @ [_, ..]) => {
            for (i, word) in words.iter().enumerate() {
                // A row begins with a word, not with the blank before it.
                let text = if i == 0 { word.word.trim_start() } else { &word.word };
                push(page, text, word.start, word.end, word.probability, out);
            }
        }
        _ => push(page, segment.text.trim(), segment.start, segment.end, likely, out),
    }
    out.push_str("</span></p>\n");
}

/// A text that can be clicked; blanks around it cannot.
fn push(page: &Page<'_>, text: &str, start: f64, end: f64, likely: f64, out: &mut String) {
    let word = text.trim();
    let (before, behind) = match text.find(word) {
        Some(at) => (&text[..at], &text[at + word.len()..]),
        None => ("", ""),
    };
    out.push_str(&escaped(before));
    if !word.is_empty() {
        let (start, end) = (number(start), number(end.max(start)));
        let (level, percent) = (level(page, likely), rated(page, likely));
        out.push_str(&format!("<span class=\"w{level}\" data-t={start} data-u={end}{percent}>"));
        out.push_str(&escaped(word));
        out.push_str("</span>");
    }
    out.push_str(&escaped(behind));
}

fn level(page: &Page<'_>, likely: f64) -> String {
    let level = LEVELS.iter().position(|least| likely < *least).filter(|_| page.is_rated);
    level.map(|level| format!(" c{level}")).unwrap_or_default()
}

fn rated(page: &Page<'_>, likely: f64) -> String {
    match page.is_rated {
        true => format!(" data-p={:.0}", likely.clamp(0.0, 1.0) * 100.0),
        false => String::new(),
    }
}
