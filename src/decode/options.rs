//! What the caller may choose about decoding, with openai/whisper's names and defaults.

use std::str::FromStr;

use super::beam::BeamWidth;
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

/// Which text a window gets if no temperature meets the thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAllFail {
    /// The likeliest of those that are not repetitive, or else of all: as faster-whisper chooses.
    #[default]
    Best,
    /// That of the last temperature, as openai/whisper chooses.
    Last,
}

impl FromStr for WhenAllFail {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "best" => Ok(WhenAllFail::Best),
            "last" => Ok(WhenAllFail::Last),
            _ => Err(Error::usage(format!("choice `{text}`"), "neither `best` nor `last`")),
        }
    }
}

/// The defaults are those of openai/whisper's `transcribe()`: greedy, with the whole temperature fallback;
/// only what is kept when all of it fails is chosen better.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    pub task: Task,
    /// Detected when not given.
    pub language: Option<Language>,
    /// Windows in which somebody speaks that have a vote on the language, at most.
    pub language_detection_segments: usize,
    /// A window that is surer than this decides the language alone.
    pub language_detection_threshold: f32,
    /// Each window is asked for its own language.
    pub multilingual: bool,
    /// Tried one after the other until the result is good enough.
    pub temperatures: Vec<f64>,
    /// How many samples to draw and choose from at temperatures above 0.
    pub best_of: Option<usize>,
    /// Beginnings to follow side by side at temperature 0; none or 1 takes the likeliest token each time.
    pub beam_size: Option<usize>,
    /// The search ends when this many times as many texts as beams are finished; 1 when not given.
    pub patience: Option<f64>,
    /// From 0 to 1: how much a longer text is made up for having more to be unlikely by; when not given, texts
    /// are compared by token.
    pub length_penalty: Option<f64>,
    /// Above 1, tokens that the window already has become less likely.
    pub repetition_penalty: f64,
    /// No run of so many tokens comes twice in a window; 0 for no such rule.
    pub no_repeat_ngram_size: usize,
    pub when_all_fail: WhenAllFail,
    /// A text that compresses better than this is too repetitive.
    pub compression_ratio_threshold: Option<f64>,
    /// A result that the model holds for less likely than this is not trusted.
    pub logprob_threshold: Option<f64>,
    /// Above it, and when the result is not trusted either, the window is silence.
    pub no_speech_threshold: Option<f64>,
    pub condition_on_previous_text: bool,
    /// A text that needed a higher temperature than this is too uncertain to be the next window's prompt.
    pub prompt_reset_on_temperature: f64,
    /// Text to pretend was said before the first window.
    pub initial_prompt: Option<String>,
    /// Puts `initial_prompt` before every window's prompt.
    pub carry_initial_prompt: bool,
    /// Words to expect, told before every window.
    pub hotwords: Option<String>,
    /// How the first window's text begins.
    pub prefix: Option<String>,
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
    /// Finds out when each word is said.
    pub word_timestamps: bool,
    /// Marks that belong to the word behind them.
    pub prepend_punctuations: String,
    /// Marks that belong to the word before them.
    pub append_punctuations: String,
    /// Text that is hardly speech is left out with the silence around it, if that lasts longer than so many seconds.
    pub hallucination_silence_threshold: Option<f64>,
}

/// openai/whisper's.
const PREPEND_PUNCTUATIONS: &str = "\"'“¿([{-";
const APPEND_PUNCTUATIONS: &str = "\"'.。,，!！?？:：”)]}、";

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            task: Task::default(),
            language: None,
            language_detection_segments: 3,
            language_detection_threshold: 0.5,
            multilingual: false,
            temperatures: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            best_of: None,
            beam_size: None,
            patience: None,
            length_penalty: None,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            when_all_fail: WhenAllFail::default(),
            compression_ratio_threshold: Some(2.4),
            logprob_threshold: Some(-1.0),
            no_speech_threshold: Some(0.6),
            condition_on_previous_text: true,
            prompt_reset_on_temperature: 0.5,
            initial_prompt: None,
            carry_initial_prompt: false,
            hotwords: None,
            prefix: None,
            suppress_tokens: SuppressTokens::default(),
            suppress_blank: true,
            without_timestamps: false,
            max_initial_timestamp: Some(1.0),
            sample_len: None,
            seed: 0,
            word_timestamps: false,
            prepend_punctuations: PREPEND_PUNCTUATIONS.into(),
            append_punctuations: APPEND_PUNCTUATIONS.into(),
            hallucination_silence_threshold: None,
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
        self.check_search()?;
        self.check_words()?;
        if self.language_detection_segments == 0 {
            return Err(Error::usage("language detection segments 0", "at least one is needed"));
        }
        let threshold = self.language_detection_threshold;
        if !(0.0..=1.0).contains(&threshold) {
            let what = format!("language detection threshold `{threshold}`");
            return Err(Error::usage(what, "must lie between 0 and 1"));
        }
        match self.max_initial_timestamp {
            Some(seconds) if !(0.0..=30.0).contains(&seconds) => Err(Error::usage(
                format!("max initial timestamp `{seconds}`"),
                "must lie within a window, 0 to 30 seconds",
            )),
            _ => Ok(()),
        }
    }

    fn check_search(&self) -> Result<()> {
        if let Some(beams @ (0 | 65..)) = self.beam_size {
            return Err(Error::usage(format!("beam size {beams}"), "must lie between 1 and 64"));
        }
        if let Some(patience) = self.patience {
            if self.beams().is_none() {
                return Err(Error::Usage {
                    what: format!("patience {patience}"),
                    why: "there is no beam search to be patient with".into(),
                    hint: Some("say how many beams too, for example `--beam-size 5`".into()),
                });
            }
            if !(patience > 0.0 && patience <= 100.0) || self.beams().is_some_and(|width| width.enough == 0) {
                let why = "must be above 0, and not so small that nothing would be finished";
                return Err(Error::usage(format!("patience {patience}"), why));
            }
        }
        if let Some(penalty) = self.length_penalty.filter(|penalty| !(0.0..=1.0).contains(penalty)) {
            return Err(Error::usage(format!("length penalty {penalty}"), "must lie between 0 and 1"));
        }
        let penalty = self.repetition_penalty;
        if !(penalty > 0.0 && penalty.is_finite()) {
            return Err(Error::usage(format!("repetition penalty {penalty}"), "must be above 0; 1 is none"));
        }
        Ok(())
    }

    /// How to search at temperature 0, if not for the likeliest token each time.
    pub fn beams(&self) -> Option<BeamWidth> {
        let beams = self.beam_size.filter(|beams| *beams > 1)?;
        let enough = (beams as f64 * self.patience.unwrap_or(1.0)).round_ties_even() as usize;
        Some(BeamWidth { beams, enough })
    }

    /// Sequences that one window may need at a time.
    pub fn candidates(&self) -> usize {
        let is_sampled = self.temperatures.iter().any(|temperature| *temperature > 0.0);
        let samples = self.best_of.filter(|_| is_sampled).unwrap_or(1);
        samples.max(self.beams_at_once())
    }

    /// Sequences that every window needs at a time.
    pub fn beams_at_once(&self) -> usize {
        let is_searched = self.temperatures.contains(&0.0);
        self.beams().filter(|_| is_searched).map_or(1, |width| width.beams)
    }

    fn check_words(&self) -> Result<()> {
        let Some(seconds) = self.hallucination_silence_threshold else { return Ok(()) };
        let what = format!("hallucination silence threshold `{seconds}`");
        if !(seconds.is_finite() && seconds >= 0.0) {
            return Err(Error::usage(what, "must be a number of seconds, 0 or more"));
        }
        if self.word_timestamps {
            return Ok(());
        }
        let why = "only words with times tell what is hardly speech".into();
        Err(Error::Usage { what, why, hint: Some("add --word-timestamps".into()) })
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
        let words = DecodeOptions {
            word_timestamps: true,
            hallucination_silence_threshold: Some(2.0),
            ..default.clone()
        };
        assert!(words.check().is_ok());
        let wrong = [
            DecodeOptions { temperatures: vec![], ..default.clone() },
            DecodeOptions { temperatures: vec![0.0, f64::NAN], ..default.clone() },
            DecodeOptions { temperatures: vec![-0.1], ..default.clone() },
            DecodeOptions { best_of: Some(0), ..default.clone() },
            DecodeOptions { sample_len: Some(0), ..default.clone() },
            DecodeOptions { beam_size: Some(0), ..default.clone() },
            DecodeOptions { patience: Some(2.0), ..default.clone() },
            DecodeOptions { beam_size: Some(5), patience: Some(0.0), ..default.clone() },
            DecodeOptions { beam_size: Some(2), patience: Some(0.2), ..default.clone() },
            DecodeOptions { length_penalty: Some(1.5), ..default.clone() },
            DecodeOptions { repetition_penalty: 0.0, ..default.clone() },
            DecodeOptions { max_initial_timestamp: Some(31.0), ..default.clone() },
            DecodeOptions { hallucination_silence_threshold: Some(2.0), ..default.clone() },
            DecodeOptions {
                word_timestamps: true,
                hallucination_silence_threshold: Some(-1.0),
                ..default.clone()
            },
            DecodeOptions { language_detection_segments: 0, ..default.clone() },
            DecodeOptions { language_detection_threshold: f32::NAN, ..default },
        ];
        for options in wrong {
            assert!(matches!(options.check(), Err(Error::Usage { .. })), "{options:?}");
        }
    }
}
