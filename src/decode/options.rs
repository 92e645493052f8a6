//! Decoding options, with openai/whisper's names and defaults.

use std::str::FromStr;

use super::beam::BeamWidth;
use super::language::Language;
use crate::error::{Error, Result};

/// Whether to transcribe the speech or to translate it into English.
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

/// Which tokens are never chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuppressTokens {
    /// None, not even the control tokens.
    Nothing,
    /// These, the control tokens, and with `non_speech` the non-speech symbols.
    List { non_speech: bool, ids: Vec<u32> },
}

impl Default for SuppressTokens {
    fn default() -> Self {
        SuppressTokens::List { non_speech: true, ids: Vec::new() }
    }
}

impl FromStr for SuppressTokens {
    type Err = Error;

    /// Parses ids separated by commas, where `-1` stands for the non-speech symbols; empty suppresses nothing.
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
                            "give ids separated by commas; `-1` stands for all non-speech symbols".into(),
                        ),
                    });
                }
            }
        }
        Ok(SuppressTokens::List { non_speech, ids })
    }
}

/// Which text is taken if no temperature meets the thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenAllFail {
    /// The likeliest of those that are not repetitive, or else of all, as in faster-whisper.
    #[default]
    Best,
    /// That of the last temperature, as in openai/whisper.
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

/// Which words get times, and what else that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WordTimes {
    #[default]
    None,
    /// All words get times, which are moved to where somebody speaks. The text is the same as without.
    Aligned,
    /// As in openai/whisper: each window also begins where the last word before it ends.
    OpenAi,
}

impl WordTimes {
    pub fn any(self) -> bool {
        self != WordTimes::None
    }
}

/// The defaults are those of openai/whisper's `transcribe()`: greedy, with all temperatures for fallback. Only
/// `when_all_fail` differs.
///
/// Journals compare the `Debug` form of these options, so renaming a field makes them start over.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeOptions {
    pub task: Task,
    /// Detected if none.
    pub language: Option<Language>,
    /// The most windows with speech that vote on the language.
    pub language_detection_segments: usize,
    /// A window with a higher probability decides the language alone.
    pub language_detection_threshold: f32,
    /// Detects the language of each window.
    pub multilingual: bool,
    /// Tried one after the other until a result meets the thresholds.
    pub temperatures: Vec<f64>,
    /// How many samples to draw at temperatures above 0, of which the best is taken.
    pub best_of: Option<usize>,
    /// Beams at temperature 0; none or 1 decodes greedily.
    pub beam_size: Option<usize>,
    /// The search ends when this many times `beam_size` hypotheses are finished; 1 if none.
    pub patience: Option<f64>,
    /// Exponent from 0 to 1 of the length by which log-probabilities are divided, as in Google's translation system; if
    /// none, they are divided by the number of tokens.
    pub length_penalty: Option<f64>,
    /// Above 1, tokens that occur in the window already become less likely.
    pub repetition_penalty: f64,
    /// No run of this many tokens occurs twice in a window; 0 for no such rule.
    pub no_repeat_ngram_size: usize,
    pub when_all_fail: WhenAllFail,
    /// Texts with a higher compression ratio are rejected as repetitive.
    pub compression_ratio_threshold: Option<f64>,
    /// Results with a lower mean log-probability are rejected.
    pub logprob_threshold: Option<f64>,
    /// A window with a higher probability of silence whose log-probability is too low counts as silence.
    pub no_speech_threshold: Option<f64>,
    pub condition_on_previous_text: bool,
    /// A text that needed a higher temperature is kept out of later prompts.
    pub prompt_reset_on_temperature: f64,
    /// Text that the first window is prompted with.
    pub initial_prompt: Option<String>,
    /// Begins every prompt with `initial_prompt`.
    pub carry_initial_prompt: bool,
    /// Words to expect, at the head of every prompt.
    pub hotwords: Option<String>,
    /// Text with which the first window must begin.
    pub prefix: Option<String>,
    pub suppress_tokens: SuppressTokens,
    /// Keeps windows from beginning with a space or being empty.
    pub suppress_blank: bool,
    pub without_timestamps: bool,
    /// The latest first timestamp of a window, in seconds; `None` for no bound.
    pub max_initial_timestamp: Option<f64>,
    /// The most new tokens per window; half of the model's text context if none.
    pub sample_len: Option<usize>,
    /// Seeds the random numbers at temperatures above 0.
    pub seed: u64,
    /// Times every word.
    pub word_times: WordTimes,
    /// Punctuation that is merged into the next word.
    pub prepend_punctuations: String,
    /// Punctuation that is merged into the previous word.
    pub append_punctuations: String,
    /// Skips likely hallucinations that are surrounded by more than this many seconds of silence.
    pub hallucination_silence_threshold: Option<f64>,
}

/// Defaults of openai/whisper.
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
            word_times: WordTimes::None,
            prepend_punctuations: PREPEND_PUNCTUATIONS.into(),
            append_punctuations: APPEND_PUNCTUATIONS.into(),
            hallucination_silence_threshold: None,
        }
    }
}

impl DecodeOptions {
    /// Rejects invalid combinations.
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
                    why: "it has no effect without a beam search".into(),
                    hint: Some("add `--beam-size`, for example `--beam-size 5`".into()),
                });
            }
            if !(patience > 0.0 && patience <= 100.0) || self.beams().is_some_and(|width| width.enough == 0) {
                let why = "must be above 0, and large enough for one hypothesis to finish";
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

    /// Returns the width of the beam search at temperature 0, if there is one.
    pub fn beams(&self) -> Option<BeamWidth> {
        let beams = self.beam_size.filter(|beams| *beams > 1)?;
        let enough = (beams as f64 * self.patience.unwrap_or(1.0)).round_ties_even() as usize;
        Some(BeamWidth { beams, enough })
    }

    /// Returns how many sequences one window may need at a time.
    pub fn candidates(&self) -> usize {
        let is_sampled = self.temperatures.iter().any(|temperature| *temperature > 0.0);
        let samples = self.best_of.filter(|_| is_sampled).unwrap_or(1);
        samples.max(self.beams_at_once())
    }

    /// Returns how many sequences every window needs at a time.
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
        if self.word_times == WordTimes::OpenAi {
            return Ok(());
        }
        let why = "it needs the times of words".into();
        Err(Error::Usage { what, why, hint: Some("add `--word-timestamps`".into()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_suppressed_tokens_as_openai_whisper() {
        let read = |text: &str| text.parse::<SuppressTokens>();
        assert_eq!(read("-1").unwrap(), SuppressTokens::default());
        assert_eq!(read("").unwrap(), SuppressTokens::Nothing);
        assert_eq!(read("5, 6,-1").unwrap(), SuppressTokens::List { non_speech: true, ids: vec![5, 6] });
        for wrong in ["-2", "a", "1,,2", "1.5"] {
            assert!(matches!(read(wrong), Err(Error::Usage { .. })), "{wrong}");
        }
    }

    #[test]
    fn rejects_invalid_options() {
        let default = DecodeOptions::default();
        assert!(default.check().is_ok());
        let words = DecodeOptions {
            word_times: WordTimes::OpenAi,
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
                word_times: WordTimes::OpenAi,
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
