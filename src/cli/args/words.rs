//! Options for word timestamps.

use clap::Args;
use clap::builder::{BoolishValueParser, FalseyValueParser};

use super::Threshold;
use crate::decode::DecodeOptions;

const WORDS: &str = "Words";

#[derive(Debug, Args)]
pub struct WordArgs {
    /// Compute word timestamps: written to json, and segments start and end with their words
    #[arg(long, env = "TRANSCRIBE_WORD_TIMESTAMPS", value_parser = FalseyValueParser::new(), help_heading = WORDS)]
    word_timestamps: bool,

    /// The spelling of openai's program, with a value.
    #[arg(long = "word_timestamps", value_name = "BOOL", hide = true,
        conflicts_with = "word_timestamps", value_parser = BoolishValueParser::new())]
    word_timestamps_value: Option<bool>,

    /// Punctuation that belongs to the word after it
    #[arg(long, alias = "prepend_punctuations", env = "TRANSCRIBE_PREPEND_PUNCTUATIONS", value_name = "CHARS",
        default_value_t = DecodeOptions::default().prepend_punctuations, hide_default_value = true,
        allow_hyphen_values = true, help_heading = WORDS)]
    prepend_punctuations: String,

    /// Punctuation that belongs to the word before it
    #[arg(long, alias = "append_punctuations", env = "TRANSCRIBE_APPEND_PUNCTUATIONS", value_name = "CHARS",
        default_value_t = DecodeOptions::default().append_punctuations, hide_default_value = true,
        allow_hyphen_values = true, help_heading = WORDS)]
    append_punctuations: String,

    /// Skip silence longer than this around possible hallucinations; needs --word-timestamps
    #[arg(long, alias = "hallucination_silence_threshold", env = "TRANSCRIBE_HALLUCINATION_SILENCE_THRESHOLD",
        value_name = "SECONDS", default_value = "none", hide_default_value = true, help_heading = WORDS)]
    hallucination_silence_threshold: Threshold,
}

impl WordArgs {
    pub fn apply_to(&self, options: &mut DecodeOptions) {
        options.word_timestamps = self.word_timestamps_value.unwrap_or(self.word_timestamps);
        options.prepend_punctuations.clone_from(&self.prepend_punctuations);
        options.append_punctuations.clone_from(&self.append_punctuations);
        options.hallucination_silence_threshold = self.hallucination_silence_threshold.0;
    }
}
