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
    pub speaker_labels: SpeakerLabels,
}

/// The rules that decide where a cue ends and the next begins. All but openai's lay cues out in the same way, within
/// limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Cues of few lines, shown long enough to be read and broken where a reader would pause.
    Readable,
    /// The cues of openai/whisper's own writers, to the byte.
    OpenAi,
    /// The limits of Netflix's timed text style guide for English.
    Netflix,
    /// The limits of the BBC's subtitle guidelines.
    Bbc,
    /// Single short lines, as short videos on a telephone show them.
    Social,
}

impl Preset {
    pub const ALL: [(Preset, &'static str); 5] = [
        (Preset::Readable, "readable"),
        (Preset::Netflix, "netflix"),
        (Preset::Bbc, "bbc"),
        (Preset::Social, "social"),
        (Preset::OpenAi, "openai"),
    ];

    /// Returns the limits of its cues; for openai's, those that they are checked against.
    pub fn limits(self) -> CueLimits {
        let readable = CueLimits::default();
        match self {
            Preset::Readable | Preset::OpenAi => readable,
            Preset::Netflix => CueLimits { max_speed: 20.0, ..readable },
            Preset::Bbc => CueLimits {
                line_width: 37,
                min_duration: 1_000,
                max_duration: 8_000,
                min_gap: 80,
                max_speed: 15.0,
                ..readable
            },
            Preset::Social => CueLimits {
                line_width: 28,
                line_count: 1,
                min_duration: 300,
                max_duration: 3_000,
                min_gap: 0,
                max_speed: 25.0,
                lag_out: 200,
                ..readable
            },
        }
    }
}

/// What a reader can follow, in columns, lines and milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CueLimits {
    /// The columns of a line.
    pub line_width: usize,
    pub line_count: usize,
    pub min_duration: i64,
    pub max_duration: i64,
    /// The time from the end of a cue to the start of the next.
    pub min_gap: i64,
    /// The reading speed in columns per second.
    pub max_speed: f64,
    /// The time by which a cue appears before its first word, where there is room.
    pub lead_in: i64,
    /// The time by which a cue stays after its last word, where there is room.
    pub lag_out: i64,
}

impl Default for CueLimits {
    /// Two lines of 42 columns for five sixths of a second to seven seconds, two film frames between cues, and 17
    /// characters per second.
    fn default() -> Self {
        Self {
            line_width: 42,
            line_count: 2,
            min_duration: 833,
            max_duration: 7_000,
            min_gap: 83,
            max_speed: 17.0,
            lead_in: 100,
            lag_out: 500,
        }
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

/// Where subtitles name the speakers, if they are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpeakerLabels {
    /// In the text wherever the speaker changes; where a format has a place of its own for the name, there instead.
    #[default]
    Auto,
    /// In the text of every cue.
    Always,
    Never,
}

impl ExportOptions {
    /// Returns the given option that cannot be honoured without word times, if there is one. Readable presets make do
    /// with estimated times, but only if they were requested by name.
    fn needs_words(&self) -> Option<&'static str> {
        if self.preset.is_some_and(|preset| preset != Preset::OpenAi) {
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

    /// Returns the options that count with or without word times. Those that need them are dropped where they `may_lack`
    /// them; otherwise the error names one.
    pub fn for_words(self, has_words: bool, may_lack: bool) -> Result<Self, &'static str> {
        match self.needs_words().filter(|_| !has_words) {
            None => Ok(self),
            Some(option) if !may_lack => Err(option),
            Some(_) => Ok(Self {
                max_line_width: None,
                max_line_count: None,
                max_words_per_line: None,
                highlight_words: false,
                vtt_words: false,
                ..self
            }),
        }
    }

    /// Returns the columns of a line in readable cues.
    pub fn line_width(&self) -> usize {
        self.max_line_width.unwrap_or(self.limits.line_width)
    }

    /// Returns the lines of a readable cue.
    pub fn line_count(&self) -> usize {
        self.max_line_count.unwrap_or(self.limits.line_count)
    }

    /// Writes all options as one text, in the spelling that ledgers on disk hold digests of.
    pub fn fingerprint(&self) -> String {
        let Self { preset, max_line_width, max_line_count, max_words_per_line, highlight_words, .. } = self;
        let Self { vtt_words, json_style, html_audio, .. } = self;
        let CueLimits { min_duration, max_duration, min_gap, max_speed, .. } = self.limits;
        let CueLimits { line_width, line_count, lead_in, lag_out, .. } = self.limits;
        let default = CueLimits::default();
        // Ledgers that were written before these existed stay valid.
        let later = [
            ("line_width", line_width as i64, default.line_width as i64),
            ("line_count", line_count as i64, default.line_count as i64),
            ("lead_in", lead_in, default.lead_in),
            ("lag_out", lag_out, default.lag_out),
        ];
        let later = later.into_iter().filter(|(_, value, default)| value != default);
        let later: String = later.map(|(name, value, _)| format!(", {name}: {value}")).collect();
        let labels = match self.speaker_labels {
            SpeakerLabels::Auto => "",
            SpeakerLabels::Always => ", speaker_labels: Always",
            SpeakerLabels::Never => ", speaker_labels: Never",
        };
        format!(
            "Shape {{ preset: {preset:?}, max_line_width: {max_line_width:?}, max_line_count: {max_line_count:?}, \
             max_words_per_line: {max_words_per_line:?}, highlight_words: {highlight_words}, vtt_words: {vtt_words}, \
             limits: Limits {{ min_duration: {min_duration}, max_duration: {max_duration}, min_gap: {min_gap}, \
             max_speed: {max_speed:?}{later} }}, json: {json_style:?}, html_audio: {html_audio:?}{labels} }}"
        )
    }
}

impl std::str::FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Preset::ALL.into_iter().find(|(_, known)| *known == name);
        let names = || Preset::ALL.map(|(_, name)| name).join(", ");
        found.map(|(preset, _)| preset).ok_or_else(|| format!("must be one of {}", names()))
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

impl std::str::FromStr for SpeakerLabels {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(SpeakerLabels::Auto),
            "always" => Ok(SpeakerLabels::Always),
            "never" => Ok(SpeakerLabels::Never),
            _ => Err("must be `auto`, `always` or `never`".into()),
        }
    }
}
