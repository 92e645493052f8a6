//! Numbers and strings as Python prints them: the reference outputs were made by its `print`, `str.strip`, `round` and
//! `json.dumps`.

use std::fmt::Write;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// `repr(float)`, with json's names for NaN and infinities.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    // Both print the shortest digits that parse to the same number; they differ in when they use an exponent.
    let scientific = format!("{value:e}");
    let exponent =
        scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let (mantissa, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Returns a number that was computed in single precision with no more digits than that has; one beyond its range stays.
pub fn single(value: f64) -> f64 {
    format!("{:e}", value as f32).parse().ok().filter(|single: &f64| single.is_finite()).unwrap_or(value)
}

/// Returns a time or a share without the digits that sums of binary fractions add.
pub fn rounded(value: f64) -> f64 {
    let rounded = (value * 1e6).round() / 1e6;
    // Numbers that large have no such digits.
    if rounded.is_finite() { rounded } else { value }
}

/// Appends `json.dumps(str)`, which is ASCII only.
pub fn string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.isspace()`, which counts four control characters as white space that Unicode does not.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

/// `json.dumps()` of any serializable value, with rounded numbers; NaN and infinities become null.
pub fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let mut out = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonFormatter))?;
    String::from_utf8(out).map_err(serde::ser::Error::custom)
}

/// Writes spaces after commas and colons, ASCII only, and numbers as [`float`] does, without their noise.
struct PythonFormatter;

impl Formatter for PythonFormatter {
    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(float(rounded(value)).as_bytes())
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let mut quoted = String::new();
        string(text, &mut quoted);
        out.write_all(&quoted.as_bytes()[1..quoted.len() - 1])
    }
}

/// The largest number of milliseconds: such times are damage, and differences of them do not overflow.
const FARTHEST: f64 = 1e15;

/// `round(seconds * 1000)`: to the nearest integer, ties to even.
pub fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round_ties_even().clamp(-FARTHEST, FARTHEST) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_floats_like_python() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (1.25e-100, "1.25e-100"),
            (5e-324, "5e-324"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (123_456_789.125, "123456789.125"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn escapes_strings_to_ascii() {
        let mut out = String::new();
        string("a\"\\\u{7f}\u{1}\u{8}é\u{2028}😀/", &mut out);
        assert_eq!(out, r#""a\"\\\u007f\u0001\b\u00e9\u2028\ud83d\ude00/""#);
    }

    #[test]
    fn numbers_of_any_size_stay_numbers() {
        assert_eq!(
            [0.1_f32.into(), 1.0 / 3.0, f64::MAX, -1e39].map(single),
            [0.1, 0.333_333_34, f64::MAX, -1e39]
        );
        assert_eq!([0.1 + 0.2, f64::MAX, -1e305].map(rounded), [0.3, f64::MAX, -1e305]);
    }

    #[test]
    fn rounds_ties_to_even_milliseconds() {
        assert_eq!([0.0005, 0.0015, 0.0025, 2.5].map(milliseconds), [0, 2, 2, 2500]);
        let far = [f64::INFINITY, 1e300, -1e300, f64::NAN].map(milliseconds);
        assert_eq!(far, [1_000_000_000_000_000, 1_000_000_000_000_000, -1_000_000_000_000_000, 0]);
    }

    #[test]
    fn strips_the_white_space_of_python() {
        assert_eq!(strip("\u{1c}\u{3000}\u{85} a b \u{1f}\n"), "a b");
        assert_eq!(strip("\u{200b}a"), "\u{200b}a");
    }
}
