//! Reads transcripts written by this and other programs into timed text as plain data. Keeps what it can use and
//! ignores the rest.
//!
//! | format | written by |
//! |---|---|
//! | txt, srt, vtt, tsv | any program |
//! | html | this program |
//! | json | openai/whisper and this program; its API; whisperX; faster-whisper and whisper-ctranslate2; whisper.cpp; the `chunks` of transformers |

pub mod from_import;
mod json;
mod page;
pub mod rttm;
mod speakers;
mod subtitles;
mod text;

use std::io;
use std::path::Path;

use crate::error::{Error, InputProblem, Result};
use crate::limited_read::{MAX_TEXT, read_file};

/// The content of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportedTranscript {
    /// The language as the file names it: a code or an English name.
    pub language: Option<String>,
    /// The whole text.
    pub text: String,
    /// The segments in the order of the file. A text without times is one segment.
    pub segments: Vec<ImportedSegment>,
}

/// A segment of an imported transcript, with times in seconds where the file has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportedSegment {
    pub start: Option<f64>,
    pub end: Option<f64>,
    pub text: String,
    pub speaker: Option<String>,
    pub words: Vec<ImportedWord>,
}

/// A word of an imported segment, with times in seconds where the file has them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportedWord {
    pub start: Option<f64>,
    pub end: Option<f64>,
    pub text: String,
    pub probability: Option<f64>,
    pub speaker: Option<String>,
}

/// A file format that can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    Json,
    Vtt,
    Srt,
    Tsv,
    Txt,
    Html,
}

/// Why a file cannot be imported, and the line where the problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    pub line: Option<usize>,
    pub why: String,
}

impl ImportError {
    fn at(line: usize, why: impl Into<String>) -> Self {
        Self { line: Some(line), why: why.into() }
    }

    /// Returns the error of the input with this name.
    pub fn of(self, name: &str) -> Error {
        let Self { line, why } = self;
        Error::input(name, InputProblem::MalformedTranscript { line, why })
    }
}

impl ImportFormat {
    /// All formats, the most informative first. Pages come last, since other programs write pages, too.
    pub const ALL: [ImportFormat; 6] = [
        ImportFormat::Json,
        ImportFormat::Vtt,
        ImportFormat::Srt,
        ImportFormat::Tsv,
        ImportFormat::Txt,
        ImportFormat::Html,
    ];

    pub fn extension(self) -> &'static str {
        match self {
            ImportFormat::Json => "json",
            ImportFormat::Vtt => "vtt",
            ImportFormat::Srt => "srt",
            ImportFormat::Tsv => "tsv",
            ImportFormat::Txt => "txt",
            ImportFormat::Html => "html",
        }
    }

    /// Returns the format of a file by its extension.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        Self::ALL.into_iter().find(|format| extension.eq_ignore_ascii_case(format.extension()))
    }
}

impl ImportedTranscript {
    /// Returns whether anything in it has a time.
    pub fn is_timed(&self) -> bool {
        self.segments.iter().any(|segment| segment.start.or(segment.end).is_some()) || self.has_words()
    }

    /// Returns whether any word has a time.
    pub fn has_words(&self) -> bool {
        self.segments.iter().flat_map(|segment| &segment.words).any(|word| word.start.or(word.end).is_some())
    }

    /// Returns whether any segment names its speaker.
    pub fn has_speakers(&self) -> bool {
        self.segments.iter().any(|segment| segment.speaker.is_some())
    }

    fn of_segments(segments: Vec<ImportedSegment>) -> Self {
        let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
        // Texts that include their own leading spaces need no separator, which would be wrong in some scripts.
        let has_spaces = texts.iter().any(|text| text.starts_with(char::is_whitespace));
        let text = texts.join(if has_spaces { "" } else { "\n" });
        Self { language: None, text, segments }
    }
}

/// Reads a file in the format of its extension.
pub fn read(path: &Path) -> Result<ImportedTranscript> {
    let (format, bytes) = open(path)?;
    parse(format, &bytes).map_err(|error| error.of(&path.display().to_string()))
}

/// Reads the cues of subtitles as they are shown, and any other file as [`read`] does.
pub fn read_shown(path: &Path) -> Result<ImportedTranscript> {
    let (format, bytes) = open(path)?;
    let parsed = match format {
        ImportFormat::Srt => text::utf8(&bytes).and_then(subtitles::shown_srt),
        ImportFormat::Vtt => text::utf8(&bytes).and_then(subtitles::shown_vtt),
        _ => parse(format, &bytes),
    };
    parsed.map_err(|error| error.of(&path.display().to_string()))
}

/// Returns the bytes of a file, and their format by its extension.
pub fn open(path: &Path) -> Result<(ImportFormat, Vec<u8>)> {
    let unknown = || Error::input(path.display().to_string(), InputProblem::UnknownTranscriptFormat);
    let format = ImportFormat::of(path).ok_or_else(unknown)?;
    Ok((format, read_bytes(path)?))
}

/// Returns the bytes of a file in any format.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    read_file(path, MAX_TEXT).map_err(|io_error| {
        let problem = match io_error.kind() {
            io::ErrorKind::IsADirectory => InputProblem::Directory,
            _ => InputProblem::Unreadable(io_error),
        };
        Error::input(path.display().to_string(), problem)
    })
}

/// Returns the JSON in the bytes of a file in a format that has any; none in those that have not.
pub fn json_of(format: ImportFormat, bytes: &[u8]) -> &[u8] {
    match format {
        ImportFormat::Json => bytes,
        ImportFormat::Html => page::json(bytes).unwrap_or_default(),
        _ => &[],
    }
}

/// Parses the bytes of a file.
pub fn parse(format: ImportFormat, bytes: &[u8]) -> Result<ImportedTranscript, ImportError> {
    match format {
        ImportFormat::Json => json::parse(bytes),
        ImportFormat::Srt => subtitles::srt(text::utf8(bytes)?),
        ImportFormat::Vtt => subtitles::vtt(text::utf8(bytes)?),
        ImportFormat::Tsv => text::tsv(text::utf8(bytes)?),
        ImportFormat::Txt => Ok(text::txt(text::utf8(bytes)?)),
        ImportFormat::Html => json::parse(page::json(bytes)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(format: ImportFormat, text: &str) -> ImportedTranscript {
        parse(format, text.as_bytes()).unwrap()
    }

    fn spans(imported: &ImportedTranscript) -> Vec<(Option<f64>, Option<f64>, &str)> {
        imported.segments.iter().map(|segment| (segment.start, segment.end, segment.text.as_str())).collect()
    }

    #[test]
    fn reads_subtitles_as_found_in_the_wild() {
        let srt = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hi</i> there,\r\nyou & I\r\n\r\n\r\n\
                   00:00:03.5 --> 100:00:04,000 X1:40 X2:600\r\n{\\an8}a < b\r\n\r\n3\r\n0:05 --> 0:06\r\n";
        let found = parsed(ImportFormat::Srt, srt);
        let expected = [
            (Some(1.0), Some(2.5), "Hi there,\nyou & I"),
            (Some(3.5), Some(360_004.0), "a < b"),
            (Some(5.0), Some(6.0), ""),
        ];
        assert_eq!(spans(&found), expected);
        assert_eq!(found.text, "Hi there,\nyou & I\na < b\n");

        let vtt = "WEBVTT - title\nKind: captions\n\nNOTE\nnot\nthis\n\nSTYLE\n::cue {}\n\nintro\n\
                   00:01.000 --> 00:02.000 align:start\n<v Ann Lee>Hi <00:01.500><c>you</c> &amp; &lt;me&gt;\n";
        let found = parsed(ImportFormat::Vtt, vtt);
        assert_eq!(spans(&found), [(Some(1.0), Some(2.0), "Hi you & <me>")]);
        assert_eq!(found.segments[0].speaker.as_deref(), Some("Ann Lee"));

        let tsv = parsed(ImportFormat::Tsv, "start\tend\ttext\n0\t1500\tHi\tthere\n1500\t2000\t\n");
        assert_eq!(spans(&tsv), [(Some(0.0), Some(1.5), "Hi\tthere"), (Some(1.5), Some(2.0), "")]);
    }

    #[test]
    fn errors_name_their_line() {
        let cases: [(ImportFormat, &[u8], Option<usize>, &str); 14] = [
            (ImportFormat::Html, b"<p>Hi", None, "is not a page that this program wrote"),
            (
                ImportFormat::Html,
                b"<script type=\"application/json\" id=\"transcript\" data-digest=\"0\">{}",
                None,
                "is not a page that this program wrote",
            ),
            (ImportFormat::Txt, b"a\nb\n\xff", Some(3), "not UTF-8"),
            (ImportFormat::Srt, b"1\n00:00:01,000 --> x\na", Some(2), "`x` is not a time"),
            (ImportFormat::Srt, b"1\n\n2\n", Some(1), "expected a line with cue times after `1`"),
            (ImportFormat::Srt, b"0:02 --> 0:01\na", Some(1), "ends before it starts"),
            (ImportFormat::Srt, b"0:99 --> 1:01\na", Some(1), "`0:99` is not a time"),
            (ImportFormat::Vtt, b"hello\n", Some(1), "does not start with `WEBVTT`"),
            (ImportFormat::Tsv, b"start\tend\ttext\n1\tx\ta", Some(2), "`x` is not a number of milliseconds"),
            (ImportFormat::Tsv, b"1\t2", Some(1), "expected start, end and text separated by tabs"),
            (ImportFormat::Json, b"{\n\"a\" 1}", Some(2), "expected `:`"),
            (
                ImportFormat::Json,
                b"{\"segments\": [\n{\"text\": 1}]}",
                Some(2),
                "invalid type: integer `1`, expected a string",
            ),
            (ImportFormat::Json, b"7", None, "has neither `segments`, `chunks`, `transcription` nor `text`"),
            (ImportFormat::Json, b"{\"text\": \"\xff\"}", Some(1), "not UTF-8"),
        ];
        for (format, bytes, line, why) in cases {
            assert_eq!(parse(format, bytes), Err(ImportError { line, why: why.into() }), "{format:?}");
        }
    }

    #[test]
    fn reads_the_json_of_every_program() {
        let word = |start, end, text: &str, probability| ImportedWord {
            start,
            end,
            text: text.into(),
            probability,
            speaker: None,
        };
        let openai = r#"{"text": " Hi you.", "language": "en", "segments": [{"id": 0, "start": 0.5, "end": 1, "text": " Hi you.",
            "words": [{"word": " Hi", "start": 0.5, "end": 0.7, "probability": 0.9}, {"word": " you.", "start": 0.7, "end": 1, "probability": 0.8}]}]}"#;
        let found = parsed(ImportFormat::Json, openai);
        assert_eq!((found.text.as_str(), found.language.as_deref()), (" Hi you.", Some("en")));
        assert_eq!(spans(&found), [(Some(0.5), Some(1.0), " Hi you.")]);
        let words =
            [word(Some(0.5), Some(0.7), " Hi", Some(0.9)), word(Some(0.7), Some(1.0), " you.", Some(0.8))];
        assert_eq!(found.segments[0].words, words);

        let faster = r#"[{"id": 1, "start": 0.5, "end": 1.0, "text": " Hi", "words": null}, {"start": 1, "end": 2, "text": " you"}]"#;
        assert_eq!(parsed(ImportFormat::Json, faster).text, " Hi you");

        let whisperx = r#"{"segments": [{"start": 0.5, "end": 1, "text": "Hi 5", "speaker": "SPEAKER_00",
            "words": [{"word": "Hi", "start": 0.5, "end": 0.7, "score": 0.9, "speaker": "SPEAKER_00"}, {"word": "5"}]}], "word_segments": [], "language": "en"}"#;
        let found = parsed(ImportFormat::Json, whisperx);
        let hi = ImportedWord {
            speaker: Some("SPEAKER_00".into()),
            ..word(Some(0.5), Some(0.7), "Hi", Some(0.9))
        };
        assert_eq!(found.segments[0].words, [hi, word(None, None, "5", None)]);
        assert_eq!(found.segments[0].speaker.as_deref(), Some("SPEAKER_00"));

        let cpp = r#"{"result": {"language": "de"}, "transcription": [{"timestamps": {"from": "00:00:00,000", "to": "00:00:01,200"},
            "offsets": {"from": 0, "to": 1200}, "text": " Hallo Welt", "tokens": [
            {"text": "[_BEG_]", "offsets": {"from": 0, "to": 0}, "id": 50363, "p": 0.9}, {"text": " Hal", "offsets": {"from": 10, "to": 300}, "p": 0.5},
            {"text": "lo", "offsets": {"from": 300, "to": 600}, "p": 0.7}, {"text": " W@", "offsets": {"from": 600, "to": 1200}, "p": 0.9}]}]}"#;
        // The first half of a character.
        let cpp: Vec<u8> = cpp.bytes().map(|byte| if byte == b'@' { 0xc3 } else { byte }).collect();
        let found = parse(ImportFormat::Json, &cpp).unwrap();
        assert_eq!(spans(&found), [(Some(0.0), Some(1.2), " Hallo Welt")]);
        assert_eq!(found.language.as_deref(), Some("de"));
        assert_eq!(found.segments[0].words[0], word(Some(0.01), Some(0.6), " Hallo", Some(0.6)));
        assert_eq!(found.segments[0].words.len(), 2);

        let hf = r#"{"text": " Hi you", "chunks": [{"timestamp": [0.0, 0.5], "text": " Hi"}, {"timestamp": [0.5, null], "text": " you"}]}"#;
        let found = parsed(ImportFormat::Json, hf);
        assert_eq!(spans(&found), [(Some(0.0), Some(0.5), " Hi"), (Some(0.5), None, " you")]);
        assert!(found.has_words());

        let api = r#"{"text": "Hi you. Bye.", "language": "english", "segments": [{"start": 0, "end": 1, "text": "Hi you."}, {"start": 1, "end": 2, "text": "Bye."}],
            "words": [{"word": "Hi", "start": 0, "end": 0.4}, {"word": "you", "start": 0.4, "end": 1}, {"word": "Bye", "start": 1, "end": 2}]}"#;
        let found = parsed(ImportFormat::Json, api);
        let counts: Vec<usize> = found.segments.iter().map(|segment| segment.words.len()).collect();
        assert_eq!(counts, [2, 1]);

        let found = parsed(ImportFormat::Json, r#"{"text": "Hi"}"#);
        assert_eq!((spans(&found), found.is_timed()), (vec![(None, None, "Hi")], false));
    }

    proptest! {
        #[test]
        fn parses_or_rejects_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            for format in ImportFormat::ALL {
                let _ = parse(format, &bytes);
            }
        }

        #[test]
        fn parses_or_rejects_any_mix_of_its_own_tokens(parts in prop::collection::vec(prop::sample::select(vec![
            "WEBVTT", "\n", "\n\n", "1", "00:00:01,000", " --> ", "00:02.5", "-->", "<", ">", "<v A", "&amp;", "&", "{\\", "}", ":", ",",
            "<script type=\"application/json\" id=\"transcript\"", "</script>", "99999999999999999999", "\t", "start", "é", "{", "\"segments\":", "[", "]", "\"text\":", "\"a\"", "\"chunks\":", "null", "\r",
        ]), 0..40)) {
            for format in ImportFormat::ALL {
                let _ = parse(format, parts.concat().as_bytes());
            }
        }
    }
}
