//! Options that decide how text is decoded: openai's names and defaults.

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, Args};

use super::Threshold;
use crate::decode::{DecodeOptions, SuppressTokens, WhenAllFail};
use crate::error::{Error, Result};

const DECODING: &str = "Decoding";

#[derive(Debug, Args)]
pub struct DecodingArgs {
    /// Prompt each window with the text before it: more consistent, but errors can repeat
    #[arg(long, alias = "condition_on_previous_text", env = "TRANSCRIBE_CONDITION_ON_PREVIOUS_TEXT",
        value_name = "BOOL", default_value = "true", action = ArgAction::Set,
        value_parser = BoolishValueParser::new(), help_heading = DECODING)]
    condition_on_previous_text: bool,

    /// Sampling temperature; 0 always takes the most likely token
    #[arg(long, env = "TRANSCRIBE_TEMPERATURE", value_name = "NUMBER", default_value = "0",
        help_heading = DECODING)]
    temperature: f64,

    /// Temperature increase for each retry of a window that fails a threshold below, up to 1; none disables retries
    #[arg(long, alias = "temperature_increment_on_fallback", env = "TRANSCRIBE_TEMPERATURE_INCREMENT_ON_FALLBACK",
        value_name = "NUMBER", default_value = "0.2", help_heading = DECODING)]
    temperature_increment_on_fallback: Threshold,

    /// Number of samples to choose from at temperatures above 0
    #[arg(long, alias = "best_of", env = "TRANSCRIBE_BEST_OF", value_name = "N", default_value_t = 5,
        help_heading = DECODING)]
    best_of: usize,

    /// Number of beams in beam search at temperature 0; 1 disables it. openai's command line defaults to 5: slower,
    /// sometimes better
    #[arg(long, alias = "beam_size", env = "TRANSCRIBE_BEAM_SIZE", value_name = "N", default_value_t = 1,
        help_heading = DECODING)]
    beam_size: usize,

    /// Stop beam search when this many times the number of beams have finished [default: 1]
    #[arg(long, env = "TRANSCRIBE_PATIENCE", value_name = "NUMBER", help_heading = DECODING)]
    patience: Option<f64>,

    /// Length penalty from 0 to 1, as in Google's translation system [default: divide by the number of tokens]
    #[arg(long, alias = "length_penalty", env = "TRANSCRIBE_LENGTH_PENALTY", value_name = "NUMBER",
        help_heading = DECODING)]
    length_penalty: Option<f64>,

    /// Penalty above 1 for tokens that already occur in the window
    #[arg(long, alias = "repetition_penalty", env = "TRANSCRIBE_REPETITION_PENALTY", value_name = "NUMBER",
        default_value_t = 1.0, help_heading = DECODING)]
    repetition_penalty: f64,

    /// Never repeat a sequence of this many tokens within a window; 0 allows repetitions
    #[arg(long, alias = "no_repeat_ngram_size", env = "TRANSCRIBE_NO_REPEAT_NGRAM_SIZE", value_name = "N",
        default_value_t = 0, help_heading = DECODING)]
    no_repeat_ngram_size: usize,

    /// Maximum number of tokens per window [default: 224 for most models]
    #[arg(long, alias = "max_new_tokens", env = "TRANSCRIBE_MAX_NEW_TOKENS", value_name = "N",
        help_heading = DECODING)]
    max_new_tokens: Option<usize>,

    /// Which attempt to keep if all fail the thresholds: best takes the most likely text that is not repetitive, last
    /// that of the highest temperature, as openai's program does
    #[arg(long, env = "TRANSCRIBE_WHEN_ALL_FAIL", default_value = "best", value_parser = ["best", "last"],
        help_heading = DECODING)]
    when_all_fail: String,

    /// Reject text with a compression ratio above this as repetitive; none disables the check
    #[arg(long, alias = "compression_ratio_threshold", env = "TRANSCRIBE_COMPRESSION_RATIO_THRESHOLD",
        value_name = "NUMBER", default_value = "2.4", help_heading = DECODING)]
    compression_ratio_threshold: Threshold,

    /// Reject text with an average log probability below this; none disables the check
    #[arg(long, alias = "logprob_threshold", env = "TRANSCRIBE_LOGPROB_THRESHOLD", value_name = "NUMBER",
        default_value = "-1.0", help_heading = DECODING)]
    logprob_threshold: Threshold,

    /// Treat a window as silence if its no-speech probability is above this and its text was rejected; none disables
    /// the check
    #[arg(long, alias = "no_speech_threshold", env = "TRANSCRIBE_NO_SPEECH_THRESHOLD", value_name = "NUMBER",
        default_value = "0.6", help_heading = DECODING)]
    no_speech_threshold: Threshold,

    /// Ids of tokens to suppress, separated by commas; -1 stands for non-speech symbols
    #[arg(long, alias = "suppress_tokens", env = "TRANSCRIBE_SUPPRESS_TOKENS", value_name = "IDS",
        default_value = "-1", allow_hyphen_values = true,
        help_heading = DECODING)]
    suppress_tokens: String,

    /// Suppress a space at the start of a window
    #[arg(long, alias = "suppress_blank", env = "TRANSCRIBE_SUPPRESS_BLANK", value_name = "BOOL",
        default_value = "true", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
        help_heading = DECODING)]
    suppress_blank: bool,

    /// Latest first timestamp of a window; none disables the limit
    #[arg(long, alias = "max_initial_timestamp", env = "TRANSCRIBE_MAX_INITIAL_TIMESTAMP", value_name = "SECONDS",
        default_value = "1.0", help_heading = DECODING)]
    max_initial_timestamp: Threshold,

    /// Do not prompt the next window with text decoded at a temperature above this
    #[arg(long, alias = "prompt_reset_on_temperature", env = "TRANSCRIBE_PROMPT_RESET_ON_TEMPERATURE",
        value_name = "NUMBER", default_value_t = 0.5, help_heading = DECODING)]
    prompt_reset_on_temperature: f64,

    /// Decode without timestamps: every segment spans a whole window
    #[arg(long, alias = "without_timestamps", env = "TRANSCRIBE_WITHOUT_TIMESTAMPS",
        value_parser = FalseyValueParser::new(), help_heading = DECODING)]
    without_timestamps: bool,

    /// Seed of the random numbers at temperatures above 0
    #[arg(long, env = "TRANSCRIBE_SEED", value_name = "N", default_value_t = 0, help_heading = DECODING)]
    seed: u64,
}

impl DecodingArgs {
    pub fn apply_to(&self, options: &mut DecodeOptions) -> Result<()> {
        options.temperatures = self.temperatures()?;
        options.best_of = Some(self.best_of);
        options.beam_size = Some(self.beam_size);
        options.patience = self.patience;
        options.length_penalty = self.length_penalty;
        options.repetition_penalty = self.repetition_penalty;
        options.no_repeat_ngram_size = self.no_repeat_ngram_size;
        options.sample_len = self.max_new_tokens;
        options.when_all_fail = self.when_all_fail.parse::<WhenAllFail>()?;
        options.compression_ratio_threshold = self.compression_ratio_threshold.0;
        options.logprob_threshold = self.logprob_threshold.0;
        options.no_speech_threshold = self.no_speech_threshold.0;
        options.condition_on_previous_text = self.condition_on_previous_text;
        options.suppress_tokens = self.suppress_tokens.parse::<SuppressTokens>()?;
        options.suppress_blank = self.suppress_blank;
        options.max_initial_timestamp = self.max_initial_timestamp.0;
        options.prompt_reset_on_temperature = self.prompt_reset_on_temperature;
        options.without_timestamps = self.without_timestamps;
        options.seed = self.seed;
        Ok(())
    }

    /// Returns the first temperature and those of the retries.
    fn temperatures(&self) -> Result<Vec<f64>> {
        let first = self.temperature;
        let Some(step) = self.temperature_increment_on_fallback.0 else { return Ok(vec![first]) };
        // Finer steps only waste time, and far finer ones would never end.
        if !(0.01..=1.0).contains(&step) {
            let why = "must lie between 0.01 and 1, or be `none`";
            return Err(Error::usage(format!("`--temperature-increment-on-fallback {step}`"), why));
        }
        // Without rounding, the third step would be 0.6000000000000001.
        let at = |i: u32| ((first + f64::from(i) * step) * 1e6).round() / 1e6;
        let hotter = (1..).map(at).take_while(|t| *t <= 1.0);
        Ok(std::iter::once(first).chain(hotter).collect())
    }
}
