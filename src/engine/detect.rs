//! Which language is spoken: one step of the decoder after the start token.

use super::window::Stage;
use crate::cancel::CancelToken;
use crate::decode::sampling::{Distribution, Peak};
use crate::decode::{Language, Tokenizer};
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;

/// The language that the model hears in the first window, and how likely each one is.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageGuess {
    pub language: Language,
    /// In the order of the table of languages; they sum to 1.
    pub probabilities: Vec<(Language, f32)>,
}

pub fn detect(stage: &mut Stage<'_>, tokenizer: &Tokenizer, cancel: &CancelToken) -> Result<LanguageGuess> {
    // A whole window even of short audio: what follows its end is then silence rather than nothing.
    stage.encode(0, WINDOW_FRAMES, cancel)?;
    let logits = stage.logits_after_start(tokenizer.special().sot, cancel)?;
    let languages = tokenizer.languages();
    let of_languages: Vec<f32> = languages.iter().map(|(_, token)| logits[*token as usize]).collect();
    let all = Distribution::of(&of_languages, Peak::of(&of_languages, 0..of_languages.len()));
    let probability = |index: usize| all.log_prob(&of_languages, index as u32).exp();
    let best = languages.get(all.likeliest() as usize).filter(|_| !probability(0).is_nan());
    let Some(&(language, _)) = best else {
        return Err(Error::compute("language detection", "the model's output is not a number"));
    };
    let probabilities = languages.iter().enumerate().map(|(i, (l, _))| (*l, probability(i))).collect();
    Ok(LanguageGuess { language, probabilities })
}
