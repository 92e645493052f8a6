//! The language of an input: as requested, or detected by one decoder step after the start token.

use super::chunk::WindowRange;
use super::input::ProbeWindow;
use crate::decode::sampling::{Distribution, Peak};
use crate::decode::{DecodeOptions, Language, LanguageGuess, Task, Tokenizer};
use crate::error::{Error, Result};
use crate::mel::Features;
use crate::time::WINDOW_FRAMES;

/// The windows that vote on the language of an input, and the votes so far.
pub struct LanguageVote {
    windows: Vec<ProbeWindow>,
    guesses: Vec<LanguageGuess>,
}

impl LanguageVote {
    /// Creates the vote of these windows. Without any, the beginning of the chunk at frame `first` votes alone.
    pub fn new(mut windows: Vec<ProbeWindow>, first: usize) -> Self {
        // The chunk's own first window need not be encoded twice.
        windows.iter_mut().filter(|window| window.seek == first).for_each(|window| window.features = None);
        if windows.is_empty() {
            windows.push(ProbeWindow { seek: first, features: None });
        }
        LanguageVote { windows, guesses: Vec::new() }
    }

    /// Returns the window that votes next: a whole one even of short audio, so that silence follows the audio's end
    /// and not nothing.
    pub fn window(&self) -> WindowRange {
        WindowRange { seek: self.windows[self.guesses.len()].seek, frames: WINDOW_FRAMES }
    }

    /// Returns the features of the window that votes next, if it is not the chunk's own.
    pub fn features(&mut self) -> Option<&mut Box<dyn Features>> {
        self.windows[self.guesses.len()].features.as_mut()
    }

    /// Counts a vote, and returns the result once it is known.
    pub fn add(&mut self, guess: LanguageGuess, threshold: f32) -> Option<LanguageGuess> {
        self.guesses.push(guess);
        verdict(&self.guesses, threshold, self.guesses.len() == self.windows.len())
    }
}

/// Returns the requested language, or none if it is to be detected.
pub fn requested(tokenizer: &Tokenizer, options: &DecodeOptions) -> Result<Option<Language>> {
    if !tokenizer.is_multilingual() || tokenizer.languages().is_empty() {
        return check_english_only(options).map(|()| Some(Language::ENGLISH));
    }
    match options.language {
        None => Ok(None),
        Some(language) if tokenizer.language_token(language).is_some() => Ok(Some(language)),
        Some(language) => {
            Err(Error::usage(format!("language `{language}`"), "this model was not trained for it"))
        }
    }
}

/// Rejects what an English-only model cannot do: it writes English, whatever is spoken, and no transcript is better
/// than a misleading one.
fn check_english_only(options: &DecodeOptions) -> Result<()> {
    let (what, why) = match options.language {
        _ if options.multilingual => ("`--multilingual`".into(), "this model knows English only"),
        Some(language) if language != Language::ENGLISH => {
            (format!("language `{language}`"), "this model knows English only")
        }
        _ if options.task == Task::Translate => {
            ("task `translate`".into(), "this model knows English only and cannot translate")
        }
        _ => return Ok(()),
    };
    let hint = Some("use a multilingual `--model`, one without `.en` in its name".into());
    Err(Error::Usage { what, why: why.into(), hint })
}

/// Reads the language from the logits after the start token.
pub fn guess(tokenizer: &Tokenizer, logits: &[f32]) -> Result<LanguageGuess> {
    let languages = tokenizer.languages();
    let language_logits: Vec<f32> = languages.iter().map(|(_, token)| logits[*token as usize]).collect();
    let all = Distribution::of(&language_logits, Peak::of(&language_logits, 0..language_logits.len()));
    let probability = |index: usize| all.log_prob(&language_logits, index as u32).exp();
    let best = languages.get(all.likeliest() as usize).filter(|_| !probability(0).is_nan());
    let Some(&(language, _)) = best else {
        return Err(Error::NotANumber { during: "language detection" });
    };
    let probabilities = languages.iter().enumerate().map(|(i, (l, _))| (*l, probability(i))).collect();
    Ok(LanguageGuess { language, probabilities })
}

/// Returns the result of the votes so far: that of the first window above the threshold, or once all have voted the
/// one with the highest mean probability.
fn verdict(guesses: &[LanguageGuess], threshold: f32, is_complete: bool) -> Option<LanguageGuess> {
    let last = guesses.last()?;
    if last.probability() > threshold || (is_complete && guesses.len() == 1) {
        return Some(last.clone());
    }
    if !is_complete {
        return None;
    }
    let mut probabilities = last.probabilities.clone();
    for (index, (_, probability)) in probabilities.iter_mut().enumerate() {
        let votes = guesses.iter().filter_map(|guess| guess.probabilities.get(index));
        let sum: f32 = votes.map(|(_, probability)| probability).sum();
        *probability = sum / guesses.len() as f32;
    }
    let best = probabilities.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
    Some(LanguageGuess { language: best.map_or(last.language, |(language, _)| language), probabilities })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess_of(probabilities: [f32; 3]) -> LanguageGuess {
        let probabilities: Vec<_> = Language::all().zip(probabilities).collect();
        let best = probabilities.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        LanguageGuess { language: best.0, probabilities }
    }

    #[test]
    fn a_sure_window_decides_alone_and_unsure_ones_by_their_mean() {
        let all: Vec<Language> = Language::all().take(3).collect();
        let (first, second, sure) =
            (guess_of([0.45, 0.35, 0.2]), guess_of([0.1, 0.48, 0.42]), guess_of([0.0, 0.1, 0.9]));
        assert_eq!(verdict(&[], 0.5, true), None);
        assert_eq!(verdict(std::slice::from_ref(&first), 0.5, false), None);
        assert_eq!(verdict(std::slice::from_ref(&first), 0.5, true), Some(first.clone()));
        assert_eq!(verdict(&[first.clone(), sure.clone()], 0.5, false), Some(sure));
        let mean = verdict(&[first, second], 0.5, true).unwrap();
        assert_eq!(mean.language, all[1]);
        assert!((mean.probability() - 0.415).abs() < 1e-6);
    }
}
