//! Times as SubRip, WebVTT and whisper.cpp's JSON write them.

use std::borrow::Cow;

use super::cues::Cue;

/// How a format writes times.
pub struct TimestampStyle {
    /// Whether hours are written even if there are none.
    pub always_hours: bool,
    /// The character between seconds and milliseconds.
    pub separator: char,
}

impl TimestampStyle {
    /// Formats a time; a time before the start of the recording becomes its start.
    pub fn time(&self, milliseconds: i64) -> String {
        let milliseconds = milliseconds.max(0);
        let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
        let (seconds, milliseconds) = (milliseconds / 1_000 % 60, milliseconds % 1_000);
        let rest = format!("{minutes:02}:{seconds:02}{}{milliseconds:03}", self.separator);
        if self.always_hours || hours > 0 { format!("{hours:02}:{rest}") } else { rest }
    }

    /// Formats the times of a cue, its text as the format escapes it, and the empty line after it.
    pub fn cue(&self, cue: &Cue, text: &str) -> String {
        format!("{} --> {}\n{text}\n\n", self.time(cue.start), self.time(cue.end))
    }
}

/// Removes blank lines, which would end the cue in the middle of its text.
pub fn without_blank_lines(text: &str) -> Cow<'_, str> {
    let is_blank = |line: &str| line.trim().is_empty();
    if text.lines().count() < 2 || !text.lines().any(is_blank) {
        return text.into();
    }
    text.lines().filter(|line| !is_blank(line)).collect::<Vec<_>>().join("\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blank_line_ends_a_cue_within_its_text() {
        let cases =
            [("", ""), ("a\nb", "a\nb"), ("a\n\n2\n\u{a0}\r\n\nb\n", "a\n2\nb"), ("\n\n", ""), (" ", " ")];
        for (text, shown) in cases {
            assert_eq!(without_blank_lines(text), shown, "{text:?}");
        }
    }

    #[test]
    fn hours_are_written_where_there_are_any_or_always() {
        let short = TimestampStyle { always_hours: false, separator: '.' };
        assert_eq!(
            [-5, 61_007, 3_600_000].map(|ms| short.time(ms)),
            ["00:00.000", "01:01.007", "01:00:00.000"]
        );
        let long = TimestampStyle { always_hours: true, separator: ',' };
        assert_eq!(long.time(61_007), "00:01:01,007");
    }
}
