//! How the text is decided on: openai's options with openai's names and defaults.

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, Args};

use super::Threshold;
use crate::decode::{DecodeOptions, SuppressTokens};
use crate::error::{Error, Result};

const DECODING: &str = "Decoding";

#[derive(Debug, Args)]
pub struct DecodingArgs {
    /// Whether each half minute knows the text before it: more consistent, but errors may repeat
    #[arg(long, alias = "condition_on_previous_text", env = "TRANSCRIBE_CONDITION_ON_PREVIOUS_TEXT",
        value_name = "BOOL", default_value = "true", action = ArgAction::Set,
        value_parser = BoolishValueParser::new(), help_heading = DECODING)]
    condition_on_previous_text: bool,

    /// 0 takes the likeliest word each time; above it words are drawn at random
    #[arg(long, env = "TRANSCRIBE_TEMPERATURE", value_name = "NUMBER", default_value = "0",
        help_heading = DECODING)]
    temperature: f64,

    /// A result that fails the thresholds below is tried again this much hotter, up to 1; none for never
    #[arg(long, alias = "temperature_increment_on_fallback", env = "TRANSCRIBE_TEMPERATURE_INCREMENT_ON_FALLBACK",
        value_name = "NUMBER", default_value = "0.2", help_heading = DECODING)]
    temperature_increment_on_fallback: Threshold,

    /// How many samples to draw and choose from when the temperature is above 0
    #[arg(long, alias = "best_of", env = "TRANSCRIBE_BEST_OF", value_name = "N", default_value_t = 5,
        help_heading = DECODING)]
    best_of: usize,

    /// A text that compresses better than this is too repetitive; none for no limit
    #[arg(long, alias = "compression_ratio_threshold", env = "TRANSCRIBE_COMPRESSION_RATIO_THRESHOLD",
        value_name = "NUMBER", default_value = "2.4", help_heading = DECODING)]
    compression_ratio_threshold: Threshold,

    /// A text less likely than this on average (log probability) is not trusted; none for no limit
    #[arg(long, alias = "logprob_threshold", env = "TRANSCRIBE_LOGPROB_THRESHOLD", value_name = "NUMBER",
        default_value = "-1.0", help_heading = DECODING)]
    logprob_threshold: Threshold,

    /// A text that is not trusted counts as silence above this probability of it; none for never
    #[arg(long, alias = "no_speech_threshold", env = "TRANSCRIBE_NO_SPEECH_THRESHOLD", value_name = "NUMBER",
        default_value = "0.6", help_heading = DECODING)]
    no_speech_threshold: Threshold,

    /// Ids of tokens never to write, separated by commas; -1 stands for symbols that nobody speaks
    #[arg(long, alias = "suppress_tokens", env = "TRANSCRIBE_SUPPRESS_TOKENS", value_name = "IDS",
        default_value = "-1", allow_hyphen_values = true,
        help_heading = DECODING)]
    suppress_tokens: String,

    /// Do not let the model tell times: each segment is half a minute
    #[arg(long, alias = "without_timestamps", env = "TRANSCRIBE_WITHOUT_TIMESTAMPS",
        value_parser = FalseyValueParser::new(), help_heading = DECODING)]
    without_timestamps: bool,

    /// Chooses the random numbers at temperatures above 0
    #[arg(long, env = "TRANSCRIBE_SEED", value_name = "N", default_value_t = 0, help_heading = DECODING)]
    seed: u64,
}

impl DecodingArgs {
    /// Puts what was asked for into the options.
    pub fn set(&self, options: &mut DecodeOptions) -> Result<()> {
        options.temperatures = self.temperatures()?;
        options.best_of = Some(self.best_of);
        options.compression_ratio_threshold = self.compression_ratio_threshold.0;
        options.logprob_threshold = self.logprob_threshold.0;
        options.no_speech_threshold = self.no_speech_threshold.0;
        options.condition_on_previous_text = self.condition_on_previous_text;
        options.suppress_tokens = self.suppress_tokens.parse::<SuppressTokens>()?;
        options.without_timestamps = self.without_timestamps;
        options.seed = self.seed;
        Ok(())
    }

    /// The first temperature and those to fall back to.
    fn temperatures(&self) -> Result<Vec<f64>> {
        let first = self.temperature;
        let Some(step) = self.temperature_increment_on_fallback.0 else { return Ok(vec![first]) };
        // Finer steps than this only waste time, and far finer ones would never end.
        if !(0.01..=1.0).contains(&step) {
            let why = "must lie between 0.01 and 1, or be `none`";
            return Err(Error::usage(format!("`--temperature-increment-on-fallback {step}`"), why));
        }
        // Rounded, lest the third step be 0.6000000000000001.
        let at = |i: u32| ((first + f64::from(i) * step) * 1e6).round() / 1e6;
        let hotter = (1..).map(at).take_while(|t| *t <= 1.0);
        Ok(std::iter::once(first).chain(hotter).collect())
    }
}
