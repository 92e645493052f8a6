//! The options that decide how outputs look: everything about them that is not the transcript.

/// How a transcript is exported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExportOptions {
    /// The rules for cues; if not given, readable where there are word times and openai's where there are none.
    pub preset: Option<Preset>,
    /// The columns of a line; if this or one of the next two is not given, the preset's own limit applies.
    pub max_line_width: Option<usize>,
    pub max_line_count: Option<usize>,
    pub max_words_per_line: Option<usize>,
    /// Whether to show which word is spoken.
    pub highlight_words: bool,
    /// Whether to write the times of words into the cues of WebVTT.
    pub vtt_words: bool,
    pub limits: CueLimits,
    pub json_style: JsonStyle,
    pub html_audio: HtmlAudio,
}

/// The rules that decide where a cue ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Cues of few lines, shown long enough to be read and broken where a reader would pause.
    Readable,
    /// The cues of openai/whisper's own writers, to the byte.
    OpenAi,
}

/// What a reader can follow, in milliseconds except for the speed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CueLimits {
    pub min_duration: i64,
    pub max_duration: i64,
    /// The time from the end of a cue to the start of the next.
    pub min_gap: i64,
    /// The reading speed in columns per second.
    pub max_speed: f64,
}

impl Default for CueLimits {
    /// Five sixths of a second to seven seconds, two film frames between cues, and 17 characters per second.
    fn default() -> Self {
        Self { min_duration: 833, max_duration: 7_000, min_gap: 83, max_speed: 17.0 }
    }
}

/// The program whose JSON is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JsonStyle {
    /// openai's keys followed by everything else that is known.
    #[default]
    Full,
    OpenAi,
    WhisperCpp,
    WhisperX,
    /// The pipelines of Hugging Face transformers.
    Hf,
}

/// Where a page takes its recording from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HtmlAudio {
    /// A relative link to the file.
    #[default]
    Link,
    /// A copy inside the page.
    Embed,
    /// No recording.
    None,
}

impl ExportOptions {
    /// The columns and lines of a readable cue unless the options say otherwise.
    pub const LINE_WIDTH: usize = 42;
    pub const LINE_COUNT: usize = 2;

    /// Returns the given option that cannot be honoured without word times, if there is one. The readable preset makes
    /// do with estimated times, but only if it was requested by name.
    pub fn needs_words(&self) -> Option<&'static str> {
        if self.preset == Some(Preset::Readable) {
            return None;
        }
        let options = [
            (self.max_line_width.is_some(), "--max-line-width"),
            (self.max_line_count.is_some(), "--max-line-count"),
            (self.max_words_per_line.is_some(), "--max-words-per-line"),
            (self.highlight_words, "--highlight-words"),
            (self.vtt_words, "--vtt-words"),
        ];
        options.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }

    /// Returns the options without those that need word times.
    pub fn without_word_options(&self) -> Self {
        Self {
            max_line_width: None,
            max_line_count: None,
            max_words_per_line: None,
            highlight_words: false,
            vtt_words: false,
            ..self.clone()
        }
    }

    /// Returns the columns of a line in readable cues.
    pub fn line_width(&self) -> usize {
        self.max_line_width.unwrap_or(Self::LINE_WIDTH)
    }

    /// Returns the lines of a readable cue.
    pub fn line_count(&self) -> usize {
        self.max_line_count.unwrap_or(Self::LINE_COUNT)
    }

    /// Writes all options as one text, in the spelling that ledgers on disk hold digests of.
    pub fn fingerprint(&self) -> String {
        let Self { preset, max_line_width, max_line_count, max_words_per_line, highlight_words, .. } = self;
        let Self { vtt_words, json_style, html_audio, .. } = self;
        let CueLimits { min_duration, max_duration, min_gap, max_speed } = self.limits;
        format!(
            "Shape {{ preset: {preset:?}, max_line_width: {max_line_width:?}, max_line_count: {max_line_count:?}, \
             max_words_per_line: {max_words_per_line:?}, highlight_words: {highlight_words}, vtt_words: {vtt_words}, \
             limits: Limits {{ min_duration: {min_duration}, max_duration: {max_duration}, min_gap: {min_gap}, \
             max_speed: {max_speed:?} }}, json: {json_style:?}, html_audio: {html_audio:?} }}"
        )
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "readable" => Ok(Preset::Readable),
            "openai" => Ok(Preset::OpenAi),
            _ => Err("must be `readable` or `openai`".into()),
        }
    }
}

impl std::str::FromStr for JsonStyle {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "full" => Ok(JsonStyle::Full),
            "openai" => Ok(JsonStyle::OpenAi),
            "whisper-cpp" => Ok(JsonStyle::WhisperCpp),
            "whisperx" => Ok(JsonStyle::WhisperX),
            "hf" => Ok(JsonStyle::Hf),
            _ => Err("must be one of full, openai, whisper-cpp, whisperx, hf".into()),
        }
    }
}

impl std::str::FromStr for HtmlAudio {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "link" => Ok(HtmlAudio::Link),
            "embed" => Ok(HtmlAudio::Embed),
            "none" => Ok(HtmlAudio::None),
            _ => Err("must be `link`, `embed` or `none`".into()),
        }
    }
}
