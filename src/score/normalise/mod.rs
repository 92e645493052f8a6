//! Normalises text as openai/whisper does before counting errors, so that different spellings of the same words match.
//!
//! Results equal those of openai-whisper's `BasicTextNormalizer` and `EnglishTextNormalizer`, including their quirks, so
//! that error rates are comparable with published ones. Only characters that Unicode added or changed since Python 3.11
//! (Unicode 14.0) may be treated differently.

mod basic;
mod boundary;
mod english;
mod number;
mod number_words;
mod numbers;
mod spelling;
mod symbols;

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

pub use basic::BasicNormaliser;

/// How texts are normalised before comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normaliser {
    /// Normalises English contractions, numbers, titles and spelling, and removes diacritics.
    English,
    /// Lowercases and removes punctuation, for any language.
    Basic(BasicNormaliser),
    /// Leaves texts unchanged.
    None,
}

impl Normaliser {
    /// Returns the default normaliser for a language.
    pub fn for_language(language: Option<&str>) -> Self {
        let english =
            language.is_some_and(|name| ["en", "english"].iter().any(|en| en.eq_ignore_ascii_case(name)));
        if english { Normaliser::English } else { Normaliser::Basic(BasicNormaliser::default()) }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Normaliser::English => "english",
            Normaliser::Basic(_) => "basic",
            Normaliser::None => "none",
        }
    }

    /// Returns exactly the output of openai's normaliser.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Normaliser::English => english::normalise(text).into(),
            Normaliser::Basic(basic) => basic.normalise(text).into(),
            Normaliser::None => text.into(),
        }
    }

    /// Returns the normalised text with single spaces between words and none around them, for counting errors.
    pub fn words(&self, text: &str) -> String {
        symbols::join_words(&self.apply(text))
    }
}

/// Removes text in brackets, which is not speech.
fn without_brackets(text: &str) -> String {
    static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[<\[][^>\]]*[>\]]"));
    static PARENTHESES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\([^)]+\)"));
    let text = BRACKETS.replace_all(text, "");
    PARENTHESES.replace_all(&text, "").into_owned()
}

#[expect(clippy::unwrap_used, reason = "only the patterns in this folder, each of which a test uses")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}
