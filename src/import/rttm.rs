//! Parses RTTM, NIST's lines of who speaks when.

use super::ImportError;
use super::text::utf8;

/// A turn as a line names it: the identifier of its recording, its start and end in seconds, and its speaker.
pub type RttmTurn = (String, f64, f64, String);

/// Parses the turns of a file in its order. Lines of other types than `SPEAKER`, comments after `;;` and blank lines are
/// ignored.
pub fn parse_rttm(text: impl AsRef<[u8]>) -> Result<Vec<RttmTurn>, ImportError> {
    let mut turns = Vec::new();
    for (index, line) in utf8(text.as_ref())?.lines().enumerate() {
        let line = line.split(";;").next().unwrap_or_default();
        let fields: Vec<&str> = line.split_whitespace().collect();
        if fields.first() != Some(&"SPEAKER") {
            continue;
        }
        let [_, file, _channel, start, duration, _text, _subtype, name, ..] = fields[..] else {
            let why = "expected `SPEAKER`, file, channel, start, duration, two fields and a speaker's name";
            return Err(ImportError::at(index + 1, why));
        };
        let seconds = |field: &str| {
            let parsed = field.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            parsed.ok_or_else(|| ImportError::at(index + 1, format!("`{field}` is not a number of seconds")))
        };
        let start = seconds(start)?;
        let end = start + seconds(duration)?;
        if !end.is_finite() {
            return Err(ImportError::at(index + 1, "ends after any time"));
        }
        turns.push((file.to_owned(), start, end, name.to_owned()));
    }
    Ok(turns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_speaker_lines_and_ignores_others() {
        let text = "\u{feff};; made by hand\r\n\r\nSPKR-INFO talk 1 <NA> <NA> <NA> unknown Anna <NA> <NA>\r\n\
                    SPEAKER talk 1 0.5 1.25 <NA> <NA> Anna <NA> <NA>\r\n  SPEAKER\tother  1 2 0 <NA> <NA> B;b ;; short\n\
                    LEXEME talk 1 x y\nSPEAKERS talk\n";
        let turn = |file: &str, start, end, name: &str| (file.to_owned(), start, end, name.to_owned());
        assert_eq!(
            parse_rttm(text).unwrap(),
            [turn("talk", 0.5, 1.75, "Anna"), turn("other", 2.0, 2.0, "B;b")]
        );
        assert_eq!(parse_rttm("").unwrap(), []);
    }

    #[test]
    fn says_which_line_is_wrong() {
        let cases: [(&[u8], usize, &str); 7] = [
            (
                b"\nSPEAKER a 1 0 1 <NA> <NA>",
                2,
                "expected `SPEAKER`, file, channel, start, duration, two fields and a speaker's name",
            ),
            (b"SPEAKER a 1 x 1 <NA> <NA> A", 1, "`x` is not a number of seconds"),
            (b";;\nSPEAKER a 1 -1 1 <NA> <NA> A", 2, "`-1` is not a number of seconds"),
            (b"SPEAKER a 1 1 -0.5 <NA> <NA> A", 1, "`-0.5` is not a number of seconds"),
            (b"SPEAKER a 1 inf 1 <NA> <NA> A", 1, "`inf` is not a number of seconds"),
            (b"SPEAKER a 1 1e308 1.7e308 <NA> <NA> A", 1, "ends after any time"),
            (b"SPEAKER a 1 0 1 <NA> <NA> A\nSPEAKER \xff", 2, "not UTF-8"),
        ];
        for (bytes, line, why) in cases {
            assert_eq!(parse_rttm(bytes), Err(ImportError { line: Some(line), why: why.into() }));
        }
    }

    proptest! {
        #[test]
        fn parses_or_rejects_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_rttm(bytes);
        }

        #[test]
        fn parses_or_rejects_any_mix_of_its_own_tokens(parts in prop::collection::vec(prop::sample::select(vec![
            "SPEAKER", " ", "\t", "\n", ";;", "1", "0.5", "-1", "NaN", "1e400", "<NA>", "é",
        ]), 0..40)) {
            for (_, start, end, _) in parse_rttm(parts.concat()).unwrap_or_default() {
                prop_assert!(start.is_finite() && end.is_finite() && start <= end);
            }
        }
    }
}
