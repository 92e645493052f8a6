//! The list of export formats: the name, description and writer of each.
//!
//! A new format is a file below `format/` and an entry of the list. `--export all`, the help, the shell completions and
//! the tests iterate over the list; which transcript and options a writer sees is up to [`Rendering`].

mod ass;
mod csv;
mod html;
mod json;
mod json_styles;
mod lrc;
mod rttm;
mod srt;
mod tsv;
mod txt;
mod vtt;

use std::fmt;
use std::str::FromStr;

pub use self::html::policy_hashes as page_policy_hashes;
use super::{ExportOptions, Rendering};
use crate::error::Error;

/// What is known about a format.
struct FormatSpec {
    /// The name on the command line, which is also the file extension.
    name: &'static str,
    description: &'static str,
    kind: FormatKind,
    writer: Writer,
}

/// What a format shows of a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatKind {
    /// The text alone.
    Text,
    /// A row of text with times per segment.
    Table,
    /// Lines of text with times per segment, and with word times if `--highlight-words` asks for them.
    Lyrics,
    /// Cues, laid out as the subtitle options say.
    Subtitles,
    /// Everything that is known about the transcript.
    Document,
}

/// The function that produces the content of a file.
enum Writer {
    Transcript(fn(&Rendering<'_>) -> Vec<u8>),
    /// Also embeds or links the recording.
    WithMedia(fn(&Rendering<'_>, Media) -> Vec<u8>),
}

/// What an exported page plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Nothing until the reader opens a recording in the page.
    None,
    /// A file, by its URL relative to the page.
    Linked(String),
    /// The bytes of a file.
    Embedded(Vec<u8>),
}

macro_rules! formats {
    ($($variant:ident => $spec:expr,)*) => {
        /// An export format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Format {
            $($variant,)*
        }

        impl Format {
            /// All formats in the order of the list, which is what `all` stands for.
            pub const ALL: [Format; [$(Format::$variant),*].len()] = [$(Format::$variant),*];

            const fn spec(self) -> &'static FormatSpec {
                match self {
                    $(Format::$variant => const { &$spec },)*
                }
            }
        }
    };
}

// The formats of openai/whisper in its order, then the others.
formats! {
    Txt => FormatSpec {
        name: "txt",
        description: "plain text, one line per segment, or a paragraph per turn of a speaker",
        kind: FormatKind::Text,
        writer: Writer::Transcript(txt::write),
    },
    Vtt => FormatSpec {
        name: "vtt",
        description: "WebVTT subtitles",
        kind: FormatKind::Subtitles,
        writer: Writer::Transcript(vtt::write),
    },
    Srt => FormatSpec {
        name: "srt",
        description: "SubRip subtitles",
        kind: FormatKind::Subtitles,
        writer: Writer::Transcript(srt::write),
    },
    Tsv => FormatSpec {
        name: "tsv",
        description: "tab-separated start, end (in milliseconds) and text",
        kind: FormatKind::Table,
        writer: Writer::Transcript(tsv::write),
    },
    Json => FormatSpec {
        name: "json",
        description: "segments, words, languages and quality (see --json-style)",
        kind: FormatKind::Document,
        writer: Writer::Transcript(json::write),
    },
    Ass => FormatSpec {
        name: "ass",
        description: "Advanced SubStation Alpha subtitles, with karaoke timing",
        kind: FormatKind::Subtitles,
        writer: Writer::Transcript(ass::write),
    },
    Lrc => FormatSpec {
        name: "lrc",
        description: "lyrics, as whisper.cpp writes them",
        kind: FormatKind::Lyrics,
        writer: Writer::Transcript(lrc::write),
    },
    Csv => FormatSpec {
        name: "csv",
        description: "comma-separated start, end (in milliseconds) and text",
        kind: FormatKind::Table,
        writer: Writer::Transcript(csv::write),
    },
    Rttm => FormatSpec {
        name: "rttm",
        description: "who speaks when, as tools of NIST and pyannote read it",
        kind: FormatKind::Table,
        writer: Writer::Transcript(rttm::write),
    },
    Html => FormatSpec {
        name: "html",
        description: "a page for listening, checking and correcting (see --html-audio)",
        kind: FormatKind::Document,
        writer: Writer::WithMedia(html::write),
    },
}

impl Format {
    /// Returns the name on the command line, which is also the file extension.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Describes the format in a few words.
    pub fn description(self) -> &'static str {
        self.spec().description
    }

    /// Returns whether the format consists of cues, so that the subtitle options apply.
    pub fn is_subtitles(self) -> bool {
        self.spec().kind == FormatKind::Subtitles
    }

    /// Returns whether the format shows when each word is spoken, or is laid out by that.
    pub fn shows_words(self) -> bool {
        self.is_subtitles() || self == Format::Html
    }

    /// Returns whether the format needs to know when the text was spoken.
    pub fn needs_times(self) -> bool {
        self.spec().kind != FormatKind::Text
    }

    /// Returns whether the format consists of speakers and their turns, and says nothing without any.
    pub fn needs_speakers(self) -> bool {
        self == Format::Rttm
    }

    /// Returns whether the format plays the recording and draws its waveform.
    pub fn plays_media(self) -> bool {
        matches!(self.spec().writer, Writer::WithMedia(_))
    }

    /// Returns the content of a file in this format, without a recording.
    pub fn write(self, rendering: &Rendering<'_>) -> Vec<u8> {
        self.write_with_media(rendering, Media::None)
    }

    /// Returns the content of a file in this format; `media` is ignored unless the format plays it.
    pub fn write_with_media(self, rendering: &Rendering<'_>, media: Media) -> Vec<u8> {
        match self.spec().writer {
            Writer::Transcript(write) => write(rendering),
            Writer::WithMedia(write) => write(rendering, media),
        }
    }

    /// Describes everything that decides how a transcript looks in this format, leaving out options that do not apply
    /// to it. Ledgers on disk hold digests of this text: it must not change.
    pub fn fingerprint(self, options: &ExportOptions) -> String {
        let default = ExportOptions::default();
        let relevant = match self.spec().kind {
            FormatKind::Text | FormatKind::Table => default,
            FormatKind::Lyrics | FormatKind::Subtitles => {
                ExportOptions { json_style: default.json_style, ..options.clone() }
            }
            FormatKind::Document => options.clone(),
        };
        format!("{self:?} {}", relevant.fingerprint())
    }

    /// Parses a list of formats separated by commas, or `all`; keeps each once, in the given order.
    pub fn parse_list(list: &str) -> Result<Vec<Format>, Error> {
        let mut formats = Vec::new();
        for name in list.split(',').map(str::trim) {
            let named = match name.eq_ignore_ascii_case("all") {
                true => Format::ALL.to_vec(),
                false => vec![name.parse()?],
            };
            for format in named {
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
        }
        Ok(formats)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Format::ALL.into_iter().find(|format| name.eq_ignore_ascii_case(format.name()));
        found.ok_or_else(|| {
            let names = Format::ALL.map(Format::name);
            let is_similar =
                |candidate: &&str| strsim::damerau_levenshtein(candidate, &name.to_lowercase()) == 1;
            let similar = names.iter().copied().find(is_similar);
            let similar = similar.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
            Error::Usage {
                what: "`--export`".into(),
                why: format!("unknown format `{name}`"),
                hint: Some(format!("{similar}use {} or all, separated by commas", names.join(", "))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_order_and_each_format_once() {
        assert_eq!(Format::parse_list("srt, VTT,srt").unwrap(), [Format::Srt, Format::Vtt]);
        assert_eq!(Format::parse_list("all").unwrap(), Format::ALL);
        assert_eq!(Format::parse_list("json,all").unwrap()[..2], [Format::Json, Format::Txt]);
    }

    #[test]
    fn unknown_names_are_rejected_with_the_list_of_formats() {
        let names = Format::ALL.map(Format::name).join(", ");
        for list in ["", "srt,", "doc", "srt vtt"] {
            let error = Format::parse_list(list).unwrap_err();
            assert!(error.to_string().contains("unknown format `"), "{error}");
            assert!(error.hint().unwrap().contains(&format!("{names} or all")));
        }
    }

    #[test]
    fn names_are_unique_and_descriptions_are_there() {
        let mut names = Format::ALL.map(Format::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Format::ALL.len());
        assert!(Format::ALL.iter().all(|format| !format.description().is_empty()));
    }

    /// The text that ledgers of earlier versions hold digests of.
    #[test]
    fn fingerprints_stay_what_ledgers_on_disk_hold() {
        let default = "Shape { preset: None, max_line_width: None, max_line_count: None, max_words_per_line: None, \
                       highlight_words: false, vtt_words: false, limits: Limits { min_duration: 833, max_duration: 7000, \
                       min_gap: 83, max_speed: 17.0 }, json: Full, html_audio: Link }";
        let changed = "Shape { preset: Some(OpenAi), max_line_width: Some(30), max_line_count: None, \
                       max_words_per_line: None, highlight_words: true, vtt_words: false, limits: Limits { \
                       min_duration: 833, max_duration: 7000, min_gap: 83, max_speed: 17.0 }, json: Full, \
                       html_audio: Embed }";
        let options = ExportOptions {
            preset: Some(super::super::Preset::OpenAi),
            max_line_width: Some(30),
            highlight_words: true,
            json_style: super::super::JsonStyle::Hf,
            html_audio: super::super::HtmlAudio::Embed,
            ..ExportOptions::default()
        };
        assert_eq!(Format::Srt.fingerprint(&ExportOptions::default()), format!("Srt {default}"));
        assert_eq!(Format::Txt.fingerprint(&options), format!("Txt {default}"));
        assert_eq!(Format::Lrc.fingerprint(&options), format!("Lrc {changed}"));
        let full = changed.replace("json: Full", "json: Hf");
        assert_eq!(Format::Html.fingerprint(&options), format!("Html {full}"));
        let labelled =
            ExportOptions { speaker_labels: super::super::SpeakerLabels::Never, ..ExportOptions::default() };
        assert_eq!(Format::Txt.fingerprint(&labelled), format!("Txt {default}"));
        let default = default.replace("html_audio: Link", "html_audio: Link, speaker_labels: Never");
        assert_eq!(Format::Srt.fingerprint(&labelled), format!("Srt {default}"));
    }
}
