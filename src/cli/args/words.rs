//! Options for word timestamps.

use clap::Args;
use clap::builder::{BoolishValueParser, FalseyValueParser};

use super::Threshold;
use crate::decode::{DecodeOptions, WordTimes};

const WORDS: &str = "Words";

#[derive(Debug, Args)]
pub struct WordArgs {
    /// Compute word timestamps, moved to where speech is detected, without changing the text; the default
    /// for srt, vtt, ass and html
    #[arg(long, env = "TRANSCRIBE_ALIGN_WORDS", value_parser = FalseyValueParser::new(), help_heading = WORDS)]
    align_words: bool,

    /// Compute word timestamps exactly as openai's program does, which also moves the windows to the words
    #[arg(long, env = "TRANSCRIBE_WORD_TIMESTAMPS", value_parser = FalseyValueParser::new(), help_heading = WORDS)]
    word_timestamps: bool,

    /// Never compute word timestamps, which takes about a twentieth of the time
    #[arg(long, env = "TRANSCRIBE_NO_WORD_TIMESTAMPS", conflicts_with_all = ["align_words", "word_timestamps"],
        value_parser = FalseyValueParser::new(), help_heading = WORDS)]
    no_word_timestamps: bool,

    /// The spelling of openai's program, with a value.
    #[arg(long = "word_timestamps", value_name = "BOOL", hide = true,
        conflicts_with_all = ["word_timestamps", "no_word_timestamps"], value_parser = BoolishValueParser::new())]
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
    /// Returns whether no option says which words get times.
    pub fn leaves_words_to_formats(&self) -> bool {
        !(self.align_words
            || self.word_timestamps
            || self.no_word_timestamps
            || self.word_timestamps_value.is_some())
    }

    pub fn apply_to(&self, options: &mut DecodeOptions) {
        let is_requested = self.word_timestamps_value.unwrap_or(self.word_timestamps);
        options.word_times = match is_requested {
            true => WordTimes::OpenAi,
            false if self.align_words => WordTimes::Aligned,
            false => WordTimes::None,
        };
        options.prepend_punctuations.clone_from(&self.prepend_punctuations);
        options.append_punctuations.clone_from(&self.append_punctuations);
        options.hallucination_silence_threshold = self.hallucination_silence_threshold.0;
    }
}
