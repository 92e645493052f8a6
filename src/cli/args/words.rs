//! Words with times of their own.

use clap::Args;
use clap::builder::{BoolishValueParser, FalseyValueParser};

use super::Threshold;
use crate::decode::DecodeOptions;

const WORDS: &str = "Words";

#[derive(Debug, Args)]
pub struct WordArgs {
    /// Find out when each word is said: the json holds them, and segments begin and end with their words
    #[arg(long, env = "TRANSCRIBE_WORD_TIMESTAMPS", value_parser = FalseyValueParser::new(), help_heading = WORDS)]
    word_timestamps: bool,

    /// As openai's program spells it, with a value.
    #[arg(id = "word_timestamps_value", long = "word_timestamps", value_name = "BOOL", hide = true,
        conflicts_with = "word_timestamps", value_parser = BoolishValueParser::new())]
    spelled_by_openai: Option<bool>,

    /// Marks that belong to the word behind them
    #[arg(long, alias = "prepend_punctuations", env = "TRANSCRIBE_PREPEND_PUNCTUATIONS", value_name = "MARKS",
        default_value_t = DecodeOptions::default().prepend_punctuations, hide_default_value = true,
        allow_hyphen_values = true, help_heading = WORDS)]
    prepend_punctuations: String,

    /// Marks that belong to the word before them
    #[arg(long, alias = "append_punctuations", env = "TRANSCRIBE_APPEND_PUNCTUATIONS", value_name = "MARKS",
        default_value_t = DecodeOptions::default().append_punctuations, hide_default_value = true,
        allow_hyphen_values = true, help_heading = WORDS)]
    append_punctuations: String,

    /// Leave out what is hardly speech, and with it the silence around it if that lasts longer than this; needs
    /// --word-timestamps
    #[arg(long, alias = "hallucination_silence_threshold", env = "TRANSCRIBE_HALLUCINATION_SILENCE_THRESHOLD",
        value_name = "SECONDS", default_value = "none", hide_default_value = true, help_heading = WORDS)]
    hallucination_silence_threshold: Threshold,
}

impl WordArgs {
    /// Puts what was asked for into the options.
    pub fn set(&self, options: &mut DecodeOptions) {
        options.word_timestamps = self.spelled_by_openai.unwrap_or(self.word_timestamps);
        options.prepend_punctuations.clone_from(&self.prepend_punctuations);
        options.append_punctuations.clone_from(&self.append_punctuations);
        options.hallucination_silence_threshold = self.hallucination_silence_threshold.0;
    }
}
