//! Times, sizes and names in few columns.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// `m:ss` or `h:mm:ss`.
pub fn length(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Of decimal units, as disks and networks are sold.
pub fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        _ if bytes < 1e6 => format!("{:.0} kB", bytes / 1e3),
        _ if bytes < 1e9 => format!("{:.0} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

pub fn columns(text: &str) -> usize {
    text.width()
}

/// In exactly so many columns: without its middle if it is too long, with blanks behind it if it is too short.
pub fn fitted(name: &str, width: usize) -> String {
    let text = shortened(name, width);
    let blanks = width.saturating_sub(columns(&text));
    text + &" ".repeat(blanks)
}

/// In at most so many columns; of a long one the middle is left out: beginning and end tell most.
pub fn shortened(name: &str, width: usize) -> String {
    // What moves the cursor must not reach the terminal.
    let name: String = name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if columns(&name) <= width {
        return name;
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let tail: Vec<&str> = within(name.graphemes(true).rev(), room / 2);
    let tail: String = tail.into_iter().rev().collect();
    let head: String = within(name.graphemes(true), room - columns(&tail)).concat();
    format!("{head}…{tail}")
}

/// As many of the first as fit.
fn within<'a>(graphemes: impl Iterator<Item = &'a str>, room: usize) -> Vec<&'a str> {
    let mut used = 0;
    let fits = |grapheme: &&str| {
        used += columns(grapheme);
        used <= room
    };
    graphemes.take_while(fits).collect()
}

/// As many of the parts, from the first on, as fit into the width, and at least a piece of the first.
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

/// So much of a bar, 0 to 1.
pub fn bar(part: f64, width: usize) -> String {
    let room = width.saturating_sub(2);
    let full = (part.clamp(0.0, 1.0) * room as f64).floor() as usize;
    format!("[{}{}]", "=".repeat(full), " ".repeat(room - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_short() {
        assert_eq!(length(0.0), "0:00");
        assert_eq!(length(59.9999), "1:00");
        assert_eq!(length(36_000.0 + 61.0), "10:01:01");
    }

    #[test]
    fn long_names_lose_their_middle() {
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
    fn parts_are_left_out_from_the_end() {
        let parts = ["total".to_owned(), "1:00/2:00".into(), "3.0x".into()];
        assert_eq!(joined(&parts, 80), "total  1:00/2:00  3.0x");
        assert_eq!(joined(&parts, 17), "total  1:00/2:00");
        assert_eq!(joined(&parts, 3), "t…l");
    }

    #[test]
    fn bars_fill() {
        assert_eq!(bar(0.0, 6), "[    ]");
        assert_eq!(bar(0.5, 6), "[==  ]");
        assert_eq!(bar(7.0, 6), "[====]");
    }
}
