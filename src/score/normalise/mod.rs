//! Text as openai/whisper normalises it before it counts errors: the same words however they are written.
//!
//! Results equal those of openai-whisper's `BasicTextNormalizer` and `EnglishTextNormalizer`, oddities included, or
//! error rates could not be compared with anybody's. Only characters that Unicode has added or changed since
//! Python 3.11 (Unicode 14.0) may be treated otherwise.

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

/// How texts are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normaliser {
    /// Contractions, numbers, titles and spelling of English, and no diacritics.
    English,
    /// Any language: small letters, no punctuation.
    Basic(BasicNormaliser),
    /// As it is written.
    None,
}

impl Normaliser {
    /// The one for a language, if nobody says which.
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

    /// Exactly what openai's normaliser makes of it.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Normaliser::English => english::normalise(text).into(),
            Normaliser::Basic(basic) => basic.normalise(text).into(),
            Normaliser::None => text.into(),
        }
    }

    /// The same with one blank between words and none around them, as errors are counted.
    pub fn words(&self, text: &str) -> String {
        symbols::one_blank(&self.apply(text))
    }
}

/// What stands in brackets is no speech.
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
