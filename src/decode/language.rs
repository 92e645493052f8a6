//! Whisper's languages: codes, names and aliases.
//!
//! Which of them a checkpoint has a token for is left to the tokenizer.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// One of the languages of the table, in the order of their tokens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(u8);

impl Language {
    pub const ENGLISH: Language = Language(0);

    /// Returns all languages in the order of their tokens.
    pub fn all() -> impl ExactSizeIterator<Item = Language> {
        (0..LANGUAGES.len() as u8).map(Language)
    }

    /// Returns the code in the token, such as `de`.
    pub fn code(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].0
    }

    /// Returns the English name in lower case, such as `german`.
    pub fn name(self) -> &'static str {
        LANGUAGES[usize::from(self.0)].1
    }

    pub fn from_code(code: &str) -> Option<Language> {
        Language::all().find(|language| language.code() == code)
    }

    /// Returns whether the language is written without spaces between words, so that every code point is a word.
    pub fn is_written_without_spaces(self) -> bool {
        matches!(self.code(), "zh" | "ja" | "th" | "lo" | "my" | "yue")
    }
}

impl FromStr for Language {
    type Err = Error;

    /// Parses a code, a name or an alias in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wanted = text.trim().to_lowercase();
        let by_name = Language::all().find(|l| l.code() == wanted || l.name() == wanted);
        let by_alias = || ALIASES.iter().find(|(alias, _)| *alias == wanted).map(|(_, code)| *code);
        by_name.or_else(|| by_alias().and_then(Language::from_code)).ok_or_else(|| Error::Usage {
            what: format!("language `{text}`"),
            why: "not a language that Whisper knows".into(),
            hint: Some(hint_for(&wanted)),
        })
    }
}

/// Suggests the language with the most similar name, if one is similar enough.
fn hint_for(wanted: &str) -> String {
    let names = Language::all().map(|l| (l.name(), l.code())).chain(ALIASES.iter().copied());
    let nearest = names
        .map(|(name, code)| (strsim::jaro_winkler(wanted, name), name, code))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, name, code)) if likeness > 0.8 => {
            format!("did you mean `{code}` ({name})?")
        }
        _ => {
            "use a code or an English name, such as `de` or `german`; leave it out to have it detected".into()
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Language({})", self.code())
    }
}

/// The detected language, and how likely each language is.
#[derive(Debug, Clone, PartialEq)]
pub struct LanguageGuess {
    pub language: Language,
    /// In the order of the table of languages; the probabilities sum to 1.
    pub probabilities: Vec<(Language, f32)>,
}

impl LanguageGuess {
    /// Returns the probability of the detected language.
    pub fn probability(&self) -> f32 {
        let own = self.probabilities.iter().find(|(language, _)| *language == self.language);
        own.map_or(0.0, |(_, probability)| *probability)
    }
}

#[rustfmt::skip]
const LANGUAGES: [(&str, &str); 100] = [
    ("en", "english"), ("zh", "chinese"), ("de", "german"), ("es", "spanish"), ("ru", "russian"),
    ("ko", "korean"), ("fr", "french"), ("ja", "japanese"), ("pt", "portuguese"), ("tr", "turkish"),
    ("pl", "polish"), ("ca", "catalan"), ("nl", "dutch"), ("ar", "arabic"), ("sv", "swedish"),
    ("it", "italian"), ("id", "indonesian"), ("hi", "hindi"), ("fi", "finnish"), ("vi", "vietnamese"),
    ("he", "hebrew"), ("uk", "ukrainian"), ("el", "greek"), ("ms", "malay"), ("cs", "czech"),
    ("ro", "romanian"), ("da", "danish"), ("hu", "hungarian"), ("ta", "tamil"), ("no", "norwegian"),
    ("th", "thai"), ("ur", "urdu"), ("hr", "croatian"), ("bg", "bulgarian"), ("lt", "lithuanian"),
    ("la", "latin"), ("mi", "maori"), ("ml", "malayalam"), ("cy", "welsh"), ("sk", "slovak"),
    ("te", "telugu"), ("fa", "persian"), ("lv", "latvian"), ("bn", "bengali"), ("sr", "serbian"),
    ("az", "azerbaijani"), ("sl", "slovenian"), ("kn", "kannada"), ("et", "estonian"), ("mk", "macedonian"),
    ("br", "breton"), ("eu", "basque"), ("is", "icelandic"), ("hy", "armenian"), ("ne", "nepali"),
    ("mn", "mongolian"), ("bs", "bosnian"), ("kk", "kazakh"), ("sq", "albanian"), ("sw", "swahili"),
    ("gl", "galician"), ("mr", "marathi"), ("pa", "punjabi"), ("si", "sinhala"), ("km", "khmer"),
    ("sn", "shona"), ("yo", "yoruba"), ("so", "somali"), ("af", "afrikaans"), ("oc", "occitan"),
    ("ka", "georgian"), ("be", "belarusian"), ("tg", "tajik"), ("sd", "sindhi"), ("gu", "gujarati"),
    ("am", "amharic"), ("yi", "yiddish"), ("lo", "lao"), ("uz", "uzbek"), ("fo", "faroese"),
    ("ht", "haitian creole"), ("ps", "pashto"), ("tk", "turkmen"), ("nn", "nynorsk"), ("mt", "maltese"),
    ("sa", "sanskrit"), ("lb", "luxembourgish"), ("my", "myanmar"), ("bo", "tibetan"), ("tl", "tagalog"),
    ("mg", "malagasy"), ("as", "assamese"), ("tt", "tatar"), ("haw", "hawaiian"), ("ln", "lingala"),
    ("ha", "hausa"), ("ba", "bashkir"), ("jw", "javanese"), ("su", "sundanese"), ("yue", "cantonese"),
];

/// Other names, with the code of their language.
#[rustfmt::skip]
const ALIASES: [(&str, &str); 12] = [
    ("burmese", "my"), ("valencian", "ca"), ("flemish", "nl"), ("haitian", "ht"), ("letzeburgesch", "lb"),
    ("pushto", "ps"), ("panjabi", "pa"), ("moldavian", "ro"), ("moldovan", "ro"), ("sinhalese", "si"),
    ("castilian", "es"), ("mandarin", "zh"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_codes_names_and_aliases_in_any_case() {
        for text in ["de", "german", "German", " DE "] {
            assert_eq!(text.parse::<Language>().unwrap().code(), "de");
        }
        assert_eq!("Flemish".parse::<Language>().unwrap().code(), "nl");
        assert_eq!("haitian creole".parse::<Language>().unwrap().code(), "ht");
        for language in Language::all() {
            assert_eq!(language.code().parse::<Language>().unwrap(), language);
            assert_eq!(language.name().parse::<Language>().unwrap(), language);
        }
        for (_, code) in ALIASES {
            assert!(Language::from_code(code).is_some(), "{code}");
        }
    }

    #[test]
    fn asian_scripts_are_written_without_spaces() {
        let codes = ["ja", "yue", "de", "ko"].map(|code| code.parse::<Language>().unwrap());
        assert_eq!(codes.map(Language::is_written_without_spaces), [true, true, false, false]);
    }

    #[test]
    fn suggests_the_nearest_language_for_a_misspelt_one() {
        let hint = |text: &str| text.parse::<Language>().unwrap_err().hint().unwrap();
        assert!(hint("germn").contains("`de` (german)"));
        assert!(hint("portugese").contains("`pt`"));
        assert!(hint("qqqq").contains("detected"));
    }
}
