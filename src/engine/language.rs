//! Which language is spoken: as asked for, or one step of the decoder after the start token.

use crate::decode::sampling::{Distribution, Peak};
use crate::decode::{DecodeOptions, Language, LanguageGuess, Task, Tokenizer};
use crate::error::{Error, Result};

/// The language that was asked for; none if the model is to find out.
pub fn asked_for(tokenizer: &Tokenizer, options: &DecodeOptions) -> Result<Option<Language>> {
    if !tokenizer.is_multilingual() || tokenizer.languages().is_empty() {
        return english_only(options).map(|()| Some(Language::ENGLISH));
    }
    match options.language {
        None => Ok(None),
        Some(language) if tokenizer.language_token(language).is_some() => Ok(Some(language)),
        Some(language) => {
            Err(Error::usage(format!("language `{language}`"), "this model was not trained for it"))
        }
    }
}

/// Such a model would write English, whatever it hears: better no transcript than one that misleads.
fn english_only(options: &DecodeOptions) -> Result<()> {
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
    let hint = Some("take a multilingual `--model`, one without `.en` in its name".into());
    Err(Error::Usage { what, why: why.into(), hint })
}

/// What the logits after the start token say.
pub fn guess(tokenizer: &Tokenizer, logits: &[f32]) -> Result<LanguageGuess> {
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

/// What the windows heard so far say together: enough once one of them is sure, or when there are no more.
pub fn verdict(heard: &[LanguageGuess], threshold: f32, are_all: bool) -> Option<LanguageGuess> {
    let last = heard.last()?;
    if last.probability() > threshold || (are_all && heard.len() == 1) {
        return Some(last.clone());
    }
    if !are_all {
        return None;
    }
    let mut probabilities = last.probabilities.clone();
    for (index, (_, probability)) in probabilities.iter_mut().enumerate() {
        let sum: f32 = heard.iter().filter_map(|guess| guess.probabilities.get(index)).map(|(_, p)| p).sum();
        *probability = sum / heard.len() as f32;
    }
    let best = probabilities.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
    Some(LanguageGuess { language: best.map_or(last.language, |(language, _)| language), probabilities })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(probabilities: [f32; 3]) -> LanguageGuess {
        let probabilities: Vec<_> = Language::all().zip(probabilities).collect();
        let best = probabilities.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        LanguageGuess { language: best.0, probabilities }
    }

    #[test]
    fn one_that_is_sure_decides_and_else_all_together() {
        let all: Vec<Language> = Language::all().take(3).collect();
        let (one, other, third) =
            (heard([0.45, 0.35, 0.2]), heard([0.1, 0.48, 0.42]), heard([0.0, 0.1, 0.9]));
        assert_eq!(verdict(&[], 0.5, true), None);
        assert_eq!(verdict(std::slice::from_ref(&one), 0.5, false), None);
        assert_eq!(verdict(std::slice::from_ref(&one), 0.5, true), Some(one.clone()));
        assert_eq!(verdict(&[one.clone(), third.clone()], 0.5, false), Some(third));
        let together = verdict(&[one, other], 0.5, true).unwrap();
        assert_eq!(together.language, all[1]);
        assert!((together.probability() - 0.415).abs() < 1e-6);
    }
}
