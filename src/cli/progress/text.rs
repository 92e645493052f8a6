//! Times, sizes, names and bars in a limited number of columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Formats seconds as `m:ss` or `h:mm:ss`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Returns the width of a text in columns.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Fits a name to exactly `width` columns: shortened if it is too long, padded with spaces if it is too short.
pub fn fitted(name: &str, width: usize) -> String {
    let text = shortened(name, width);
    let blanks = width.saturating_sub(columns(&text));
    text + &" ".repeat(blanks)
}

/// Shortens a name to at most `width` columns by leaving out its middle: start and end are the most telling parts.
pub fn shortened(name: &str, width: usize) -> String {
    // Control characters must not reach the terminal.
    let name: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if columns(&name) <= width {
        return name;
    }
    let Some(available) = width.checked_sub(1) else { return String::new() };
    let tail: Vec<&str> = within(name.graphemes(true).rev(), available / 2);
    let tail: String = tail.into_iter().rev().collect();
    let head: String = within(name.graphemes(true), available - columns(&tail)).concat();
    format!("{head}…{tail}")
}

/// Returns as many graphemes as fit.
fn within<'a>(graphemes: impl Iterator<Item = &'a str>, width: usize) -> Vec<&'a str> {
    let mut used = 0;
    let fits = |grapheme: &&str| {
        used += columns(grapheme);
        used <= width
    };
    graphemes.take_while(fits).collect()
}

/// Joins as many parts as fit into the width, but at least a piece of the first.
pub fn joined(parts: &[String], width: usize) -> String {
    let mut text = shortened(parts.first().map_or("", String::as_str), width);
    for part in parts.iter().skip(1) {
        if columns(&text) + 2 + columns(part) > width {
            break;
        }
        text = text + "  " + part;
    }
    text
}

/// Draws a bar that is filled by a share from 0 to 1.
pub fn bar(share: f64, width: usize) -> String {
    let inner = width.saturating_sub(2);
    let full = (share.clamp(0.0, 1.0) * inner as f64).floor() as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(inner - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_omit_hours_if_there_are_none() {
        assert_eq!(clock(0.0), "0:00");
        assert_eq!(clock(59.9999), "1:00");
        assert_eq!(clock(36_000.0 + 61.0), "10:01:01");
    }

    #[test]
    fn shortens_long_names_in_the_middle() {
        assert_eq!(fitted("talk.mp3", 10), "talk.mp3  ");
        assert_eq!(fitted("a very long talk.mp3", 12), "a very…k.mp3");
        assert_eq!(fitted("会議の録音その一.mp3", 12), "会議の….mp3 ");
        assert_eq!(shortened("a\x1b[2Jb\nc", 20), "a\u{fffd}[2Jb\u{fffd}c");
        for width in 0..30 {
            for name in ["会議の録音その一.mp3", "e\u{301}e\u{301}e\u{301}e\u{301}.wav", "👩‍👩‍👧‍👦👩‍👩‍👧‍👦.wav"]
            {
                assert_eq!(columns(&fitted(name, width)), width, "{name} in {width}");
            }
        }
    }

    #[test]
    fn leaves_out_parts_from_the_end() {
        let parts = ["total".to_owned(), "1:00/2:00".into(), "3.0x".into()];
        assert_eq!(joined(&parts, 80), "total  1:00/2:00  3.0x");
        assert_eq!(joined(&parts, 17), "total  1:00/2:00");
        assert_eq!(joined(&parts, 3), "t…l");
    }

    #[test]
    fn fills_bars() {
        assert_eq!(bar(0.0, 6), "[    ]");
        assert_eq!(bar(0.5, 6), "[==  ]");
        assert_eq!(bar(7.0, 6), "[====]");
    }
}
