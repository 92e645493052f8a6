//! Texts and numbers as a page writes them.

use std::fmt::Write;

/// Escapes a text for an element or a quoted attribute.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            // HTML forbids control characters.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Formats seconds to the millisecond without trailing zeros.
pub fn number(seconds: f64) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(out, "{:.3}", if seconds.is_finite() { seconds.max(0.0) } else { 0.0 });
    let length = out.trim_end_matches('0').trim_end_matches('.').len();
    out.truncate(length);
    out
}

/// Formats seconds as `m:ss` or `h:mm:ss`.
pub fn clock(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// Formats a share as a percentage.
pub fn percent(part: f64) -> String {
    format!("{:.0} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_markup_and_control_characters() {
        assert_eq!(
            escaped("</script>&\"'\u{0}\r\u{2028}ü"),
            "&lt;/script&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}\u{2028}ü"
        );
    }

    #[test]
    fn formats_times_without_trailing_zeros() {
        let seconds = [0.0, -1.0, 0.5, 12.3404, 100.0, f64::NAN, 3600.0006];
        assert_eq!(seconds.map(number), ["0", "0", "0.5", "12.34", "100", "0", "3600.001"]);
        assert_eq!([0.0, 59.9, 61.0, 3661.0].map(clock), ["0:00", "0:59", "1:01", "1:01:01"]);
    }
}
