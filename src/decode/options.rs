//! What the caller may choose about decoding, with openai/whisper's names and defaults.

use std::str::FromStr;

use super::language::Language;
use crate::error::{Error, Result};

/// What to write down: what was said, or its English translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Task {
    #[default]
    Transcribe,
    Translate,
}

impl FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "transcribe" => Ok(Task::Transcribe),
            "translate" => Ok(Task::Translate),
            _ => Err(Error::usage(format!("task `{text}`"), "neither `transcribe` nor `translate`")),
        }
    }
}

/// Tokens that are never chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressTokens {
    /// Nothing is suppressed, not even the control tokens.
    Nothing,
    /// These, the control tokens, and with `non_speech` the symbols that nobody speaks.
    List { non_speech: bool, ids: Vec<u32> },
}

impl Default for SuppressTokens {
    fn default() -> Self {
        SuppressTokens::List { non_speech: true, ids: Vec::new() }
    }
}

impl FromStr for SuppressTokens {
    type Err = Error;

    /// Ids separated by commas, where `-1` stands for the symbols that nobody speaks; empty for none at all.
    fn from_str(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(SuppressTokens::Nothing);
        }
        let (mut non_speech, mut ids) = (false, Vec::new());
        for part in text.split(',').map(str::trim) {
            match part.parse::<u32>() {
                Ok(id) => ids.push(id),
                Err(_) if part == "-1" => non_speech = true,
                Err(_) => {
                    return Err(Error::Usage {
                        what: format!("suppressed token `{part}`"),
                        why: "not a token id".into(),
                        hint: Some(
                            "give ids separated by commas; -1 stands for all non-speech symbols".into(),
                        ),
                    });
                }
            }
        }
        Ok(SuppressTokens::List { non_speech, ids })
    }
}

/// The defaults are those of openai/whisper's `transcribe()`: greedy, with the whole temperature fallback.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    pub task: Task,
    /// Detected from the first window when not given.
    pub language: Option<Language>,
    /// Tried one after the other until the result is good enough.
    pub temperatures: Vec<f64>,
    /// How many samples to draw and choose from at temperatures above 0.
    pub best_of: Option<usize>,
    /// A text that compresses better than this is too repetitive.
    pub compression_ratio_threshold: Option<f64>,
    /// A result that the model holds for less likely than this is not trusted.
    pub logprob_threshold: Option<f64>,
    /// Above it, and when the result is not trusted either, the window is silence.
    pub no_speech_threshold: Option<f64>,
    pub condition_on_previous_text: bool,
    /// Text to pretend was said before the first window.
    pub initial_prompt: Option<String>,
    /// Puts `initial_prompt` before every window's prompt.
    pub carry_initial_prompt: bool,
    pub suppress_tokens: SuppressTokens,
    /// Forbids a window to begin with a blank or to be empty.
    pub suppress_blank: bool,
    pub without_timestamps: bool,
    /// Seconds into the window before which the first timestamp must lie; `None` for no bound.
    pub max_initial_timestamp: Option<f64>,
    /// At most so many new tokens per window; half of the model's text context when not given.
    pub sample_len: Option<usize>,
    /// Chooses the random numbers at temperatures above 0.
    pub seed: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            task: Task::default(),
            language: None,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            best_of: None,
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            initial_prompt: None,
            carry_initial_prompt: false,
            suppress_tokens: SuppressTokens::default(),
            suppress_blank: true,
            without_timestamps: false,
            max_initial_timestamp: Some(1.0),
            sample_len: None,
            seed: 0,
        }
    }
}

impl DecodeOptions {
    /// Refuses what cannot be meant, before any work starts.
    pub fn check(&self) -> Result<()> {
        if self.temperatures.is_empty() {
            return Err(Error::usage("temperatures", "at least one is needed"));
        }
        if let Some(wrong) = self.temperatures.iter().find(|t| !t.is_finite() || **t < 0.0) {
            return Err(Error::usage(format!("temperature `{wrong}`"), "must be 0 or more"));
        }
        if self.best_of == Some(0) {
            return Err(Error::usage("best of 0", "at least one sample is needed"));
        }
        if self.sample_len == Some(0) {
            return Err(Error::usage("sample length 0", "at least one token is needed"));
        }
        match self.max_initial_timestamp {
            Some(seconds) if !(0.0..=30.0).contains(&seconds) => Err(Error::usage(
                format!("max initial timestamp `{seconds}`"),
                "must lie within a window, 0 to 30 seconds",
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_tokens_are_read_as_openai_reads_them() {
        let read = |text: &str| text.parse::<SuppressTokens>();
        assert_eq!(read("-1").unwrap(), SuppressTokens::default());
        assert_eq!(read("").unwrap(), SuppressTokens::Nothing);
        assert_eq!(read("5, 6,-1").unwrap(), SuppressTokens::List { non_speech: true, ids: vec![5, 6] });
        for wrong in ["-2", "a", "1,,2", "1.5"] {
            assert!(matches!(read(wrong), Err(Error::Usage { .. })), "{wrong}");
        }
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        let default = DecodeOptions::default();
        assert!(default.check().is_ok());
        let wrong = [
            DecodeOptions { temperatures: vec![], ..default.clone() },
            DecodeOptions { temperatures: vec![0.0, f64::NAN], ..default.clone() },
            DecodeOptions { temperatures: vec![-0.1], ..default.clone() },
            DecodeOptions { best_of: Some(0), ..default.clone() },
            DecodeOptions { sample_len: Some(0), ..default.clone() },
            DecodeOptions { max_initial_timestamp: Some(31.0), ..default },
        ];
        for options in wrong {
            assert!(matches!(options.check(), Err(Error::Usage { .. })), "{options:?}");
        }
    }
}
