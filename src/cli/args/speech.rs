//! Options about the speech and the audio: language, task, prompts, track, channel, decoder and chunk length.

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, Args, ValueEnum};

use crate::audio::{AudioOptions, DecoderChoice};
use crate::decode::{DecodeOptions, Language, Task};
use crate::error::{Error, Result};
use crate::plan::InputSettings;

const SPEECH: &str = "Speech";
const AUDIO: &str = "Audio";

#[derive(Debug, Args)]
pub struct SpeechArgs {
    /// Spoken language, by code or name (de, german); auto detects it
    #[arg(long, short, env = "TRANSCRIBE_LANGUAGE", default_value = "auto", help_heading = SPEECH)]
    language: String,

    /// Number of windows with speech that vote on the language
    #[arg(long, alias = "language_detection_segments", env = "TRANSCRIBE_LANGUAGE_DETECTION_SEGMENTS",
        value_name = "N", default_value_t = 3, help_heading = SPEECH)]
    language_detection_segments: usize,

    /// Probability above which a single window decides the language
    #[arg(long, alias = "language_detection_threshold", env = "TRANSCRIBE_LANGUAGE_DETECTION_THRESHOLD",
        value_name = "NUMBER", default_value_t = 0.5, help_heading = SPEECH)]
    language_detection_threshold: f32,

    /// Detect the language of each window, for recordings in several languages
    #[arg(long, env = "TRANSCRIBE_MULTILINGUAL", value_parser = FalseyValueParser::new(), help_heading = SPEECH)]
    multilingual: bool,

    /// Transcribe, or translate to English
    #[arg(long, env = "TRANSCRIBE_TASK", default_value = "transcribe", value_parser = ["transcribe", "translate"],
        help_heading = SPEECH)]
    task: String,

    /// Text to prompt the first window with, such as names and terms to expect
    #[arg(long, alias = "initial_prompt", env = "TRANSCRIBE_INITIAL_PROMPT", value_name = "TEXT",
        help_heading = SPEECH)]
    initial_prompt: Option<String>,

    /// Prompt every window with the initial prompt instead of the first only
    #[arg(long, alias = "carry_initial_prompt", env = "TRANSCRIBE_CARRY_INITIAL_PROMPT", value_name = "BOOL",
        default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
        help_heading = SPEECH)]
    carry_initial_prompt: bool,

    /// Words to expect, prompted before each window
    #[arg(long, env = "TRANSCRIBE_HOTWORDS", value_name = "TEXT", help_heading = SPEECH)]
    hotwords: Option<String>,

    /// Known words at the start of the recording
    #[arg(long, env = "TRANSCRIBE_PREFIX", value_name = "TEXT", help_heading = SPEECH)]
    prefix: Option<String>,

    /// Audio track, counted from 0 [default: the first]
    #[arg(long, env = "TRANSCRIBE_AUDIO_TRACK", value_name = "N", help_heading = AUDIO)]
    audio_track: Option<usize>,

    /// Channel, counted from 0 [default: a mix of all]
    #[arg(long, env = "TRANSCRIBE_CHANNEL", value_name = "N", help_heading = AUDIO)]
    channel: Option<usize>,

    /// What decodes the audio: the built-in decoders, an installed ffmpeg, or the latter for what the former do not know
    #[arg(long, env = "TRANSCRIBE_DECODER", value_name = "NAME", default_value = "auto", help_heading = AUDIO)]
    decoder: DecoderName,

    /// Target length of the sections that a recording is cut into at pauses, to be processed in parallel. 0 processes
    /// each recording as a whole, exactly as openai's program does
    #[arg(long, alias = "chunk_length", env = "TRANSCRIBE_CHUNK_LENGTH", value_name = "SECONDS",
        default_value_t = InputSettings::CHUNK_LENGTH, help_heading = AUDIO)]
    chunk_length: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DecoderName {
    Auto,
    Builtin,
    Ffmpeg,
}

impl From<DecoderName> for DecoderChoice {
    fn from(name: DecoderName) -> Self {
        match name {
            DecoderName::Auto => DecoderChoice::Auto,
            DecoderName::Builtin => DecoderChoice::Builtin,
            DecoderName::Ffmpeg => DecoderChoice::Ffmpeg,
        }
    }
}

impl SpeechArgs {
    pub fn apply_to(&self, options: &mut DecodeOptions) -> Result<()> {
        options.task = self.task.parse::<Task>()?;
        options.language = match self.language.trim() {
            auto if auto.eq_ignore_ascii_case("auto") => None,
            name => Some(name.parse::<Language>()?),
        };
        options.language_detection_segments = self.language_detection_segments;
        options.language_detection_threshold = self.language_detection_threshold;
        options.multilingual = self.multilingual;
        options.initial_prompt.clone_from(&self.initial_prompt);
        options.carry_initial_prompt = self.carry_initial_prompt;
        options.hotwords.clone_from(&self.hotwords);
        options.prefix.clone_from(&self.prefix);
        Ok(())
    }

    pub fn audio(&self) -> AudioOptions {
        AudioOptions { track: self.audio_track, channel: self.channel, decoder: self.decoder.into() }
    }

    pub fn chunk_length(&self) -> Result<f64> {
        chunk_length(self.chunk_length)
    }
}

/// Checks a chunk length in seconds.
pub fn chunk_length(seconds: f64) -> Result<f64> {
    // Much less than a second leaves no pause to cut at, and no recording lasts a year.
    if seconds == 0.0 || (1.0..=1e7).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::Usage {
        what: format!("`--chunk-length {seconds}`"),
        why: "must be 0 or a number of seconds from 1 on".into(),
        hint: Some("0 processes each recording as a whole; the default is 600".into()),
    })
}
