//! How outputs are to look: everything about them that is not the transcript.

use crate::error::Error;

/// What the person asked of the outputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// Readable where there are word times, and openai's where there are none, if not given.
    pub preset: Option<Preset>,
    /// Columns of a line; the preset's own if not given, as are the next two.
    pub max_line_width: Option<usize>,
    pub max_line_count: Option<usize>,
    pub max_words_per_line: Option<usize>,
    /// Shows which word is spoken.
    pub highlight_words: bool,
    /// Times of words inside the cues of WebVTT.
    pub vtt_words: bool,
    pub limits: Limits,
    pub json: JsonStyle,
    pub html_audio: HtmlAudio,
}

/// Who decides where a subtitle ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Cues of few lines, long enough to be read, broken where a reader would pause.
    Readable,
    /// What openai/whisper's own writers make, to the byte.
    OpenAi,
}

/// What a reader can follow; in milliseconds, but for the speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    pub min_duration: i64,
    pub max_duration: i64,
    /// From the end of a cue to the beginning of the next.
    pub min_gap: i64,
    /// Columns per second.
    pub max_speed: f64,
}

impl Default for Limits {
    /// Five sixths of a second to seven seconds, two frames of a film between them, and 17 letters a second.
    fn default() -> Self {
        Self { min_duration: 833, max_duration: 7_000, min_gap: 83, max_speed: 17.0 }
    }
}

/// Which program's JSON to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonStyle {
    /// openai's, and behind it what else is known.
    #[default]
    Full,
    OpenAi,
    WhisperCpp,
    WhisperX,
    /// As the pipelines of transformers.
    Hf,
}

/// Where a page has its recording from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HtmlAudio {
    /// Beside it, or wherever it lies seen from there.
    #[default]
    Link,
    /// It holds it.
    Embed,
    /// Nowhere.
    None,
}

impl Shape {
    /// Columns and lines of a readable cue, if nothing else is asked.
    pub const LINE_WIDTH: usize = 42;
    pub const LINE_COUNT: usize = 2;

    /// The option that cannot be obeyed without word times, if one was given. The readable preset makes do
    /// with guessed ones, but only if it was asked for by name.
    pub fn needs_words(&self) -> Option<&'static str> {
        if self.preset == Some(Preset::Readable) {
            return None;
        }
        let asked = [
            (self.max_line_width.is_some(), "--max-line-width"),
            (self.max_line_count.is_some(), "--max-line-count"),
            (self.max_words_per_line.is_some(), "--max-words-per-line"),
            (self.highlight_words, "--highlight-words"),
            (self.vtt_words, "--vtt-words"),
        ];
        asked.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// The lines that a reader gets.
    pub fn line_width(&self) -> usize {
        self.max_line_width.unwrap_or(Self::LINE_WIDTH)
    }

    pub fn line_count(&self) -> usize {
        self.max_line_count.unwrap_or(Self::LINE_COUNT)
    }
}

fn unknown(given: &str, known: &str) -> Error {
    Error::usage(format!("`{given}`"), format!("known are {known}"))
}

impl std::str::FromStr for Preset {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "readable" => Ok(Preset::Readable),
            "openai" => Ok(Preset::OpenAi),
            _ => Err(unknown(name, "readable and openai")),
        }
    }
}

impl JsonStyle {
    pub const NAMES: [&str; 5] = ["full", "openai", "whisper-cpp", "whisperx", "hf"];
}

impl std::str::FromStr for JsonStyle {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "full" => Ok(JsonStyle::Full),
            "openai" => Ok(JsonStyle::OpenAi),
            "whisper-cpp" => Ok(JsonStyle::WhisperCpp),
            "whisperx" => Ok(JsonStyle::WhisperX),
            "hf" => Ok(JsonStyle::Hf),
            _ => Err(unknown(name, &Self::NAMES.join(", "))),
        }
    }
}

impl std::str::FromStr for HtmlAudio {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "link" => Ok(HtmlAudio::Link),
            "embed" => Ok(HtmlAudio::Embed),
            "none" => Ok(HtmlAudio::None),
            _ => Err(unknown(name, "link, embed and none")),
        }
    }
}
