//! What is heard: the language, the task, what to expect, and which part of the audio.

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, Args};

use crate::audio::AudioOptions;
use crate::decode::{DecodeOptions, Language, Task};
use crate::error::{Error, Result};
use crate::plan::PlanRequest;

const SPEECH: &str = "Speech";
const AUDIO: &str = "Audio";

#[derive(Debug, Args)]
pub struct SpeechArgs {
    /// The language spoken, by code or name (de, german); auto finds it out
    #[arg(long, short, env = "TRANSCRIBE_LANGUAGE", default_value = "auto", help_heading = SPEECH)]
    language: String,

    /// How many half minutes in which somebody speaks have a vote on the language
    #[arg(long, alias = "language_detection_segments", env = "TRANSCRIBE_LANGUAGE_DETECTION_SEGMENTS",
        value_name = "N", default_value_t = 3, help_heading = SPEECH)]
    language_detection_segments: usize,

    /// One that is surer of a language than this decides alone
    #[arg(long, alias = "language_detection_threshold", env = "TRANSCRIBE_LANGUAGE_DETECTION_THRESHOLD",
        value_name = "NUMBER", default_value_t = 0.5, help_heading = SPEECH)]
    language_detection_threshold: f32,

    /// Find out the language of each half minute anew: for recordings that change between languages
    #[arg(long, env = "TRANSCRIBE_MULTILINGUAL", value_parser = FalseyValueParser::new(), help_heading = SPEECH)]
    multilingual: bool,

    /// Write what was said, or its English translation
    #[arg(long, env = "TRANSCRIBE_TASK", default_value = "transcribe", value_parser = ["transcribe", "translate"],
        help_heading = SPEECH)]
    task: String,

    /// Names and terms to expect, as text that might have been said before
    #[arg(long, alias = "initial_prompt", env = "TRANSCRIBE_INITIAL_PROMPT", value_name = "TEXT",
        help_heading = SPEECH)]
    initial_prompt: Option<String>,

    /// Whether those are told before each half minute instead of the first only
    #[arg(long, alias = "carry_initial_prompt", env = "TRANSCRIBE_CARRY_INITIAL_PROMPT", value_name = "BOOL",
        default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
        help_heading = SPEECH)]
    carry_initial_prompt: bool,

    /// Words to expect, told before each half minute
    #[arg(long, env = "TRANSCRIBE_HOTWORDS", value_name = "TEXT", help_heading = SPEECH)]
    hotwords: Option<String>,

    /// The words that the recording begins with, if they are known
    #[arg(long, env = "TRANSCRIBE_PREFIX", value_name = "TEXT", help_heading = SPEECH)]
    prefix: Option<String>,

    /// Which audio track, from 0 [default: the first]
    #[arg(long, env = "TRANSCRIBE_AUDIO_TRACK", value_name = "N", help_heading = AUDIO)]
    audio_track: Option<usize>,

    /// Which channel, from 0 [default: all of them mixed]
    #[arg(long, env = "TRANSCRIBE_CHANNEL", value_name = "N", help_heading = AUDIO)]
    channel: Option<usize>,

    /// Seconds from one pause at which a recording is cut to the next: what lies between is understood side by side.
    /// 0 keeps each recording in one piece, as openai's program hears it
    #[arg(long, alias = "chunk_length", env = "TRANSCRIBE_CHUNK_LENGTH", value_name = "SECONDS",
        default_value_t = PlanRequest::CHUNK_LENGTH, help_heading = AUDIO)]
    chunk_length: f64,
}

impl SpeechArgs {
    /// Puts what was asked for into the options.
    pub fn set(&self, options: &mut DecodeOptions) -> Result<()> {
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
        AudioOptions { track: self.audio_track, channel: self.channel }
    }

    pub fn chunk_length(&self) -> Result<f64> {
        chunk_length(self.chunk_length)
    }
}

/// Refuses lengths that cannot be meant.
pub fn chunk_length(seconds: f64) -> Result<f64> {
    // Much less than a second leaves no pause to cut at, and nobody has a year of audio.
    if seconds == 0.0 || (1.0..=1e7).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::Usage {
        what: format!("`--chunk-length {seconds}`"),
        why: "neither 0 nor a number of seconds from 1 on".into(),
        hint: Some("0 keeps each recording in one piece; 120 is the default".into()),
    })
}
