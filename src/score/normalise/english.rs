//! The normaliser for English: openai's `EnglishTextNormalizer`.

use std::sync::LazyLock;

use regex::Regex;

use super::boundary::{replace_at_ends, replace_part};
use super::symbols::{collapse_spaces, without_symbols_and_diacritics};
use super::{numbers, pattern, spelling, without_brackets};

/// Filler sounds, which are removed.
const FILLERS: [&str; 6] = ["hmm", "mm", "mhm", "mmm", "uh", "um"];

/// Contractions and titles with their expansions, in the order of replacement.
const WORDS: [(&str, &str); 35] = [
    ("won't", "will not"),
    ("can't", "can not"),
    ("let's", "let us"),
    ("ain't", "aint"),
    ("y'all", "you all"),
    ("wanna", "want to"),
    ("gotta", "got to"),
    ("gonna", "going to"),
    ("i'ma", "i am going to"),
    ("imma", "i am going to"),
    ("woulda", "would have"),
    ("coulda", "could have"),
    ("shoulda", "should have"),
    ("ma'am", "madam"),
    ("mr", "mister "),
    ("mrs", "missus "),
    ("st", "saint "),
    ("dr", "doctor "),
    ("prof", "professor "),
    ("capt", "captain "),
    ("gov", "governor "),
    ("ald", "alderman "),
    ("gen", "general "),
    ("sen", "senator "),
    ("rep", "representative "),
    ("pres", "president "),
    ("rev", "reverend "),
    ("hon", "honorable "),
    ("asst", "assistant "),
    ("assoc", "associate "),
    ("lt", "lieutenant "),
    ("col", "colonel "),
    ("jr", "junior "),
    ("sr", "senior "),
    ("esq", "esquire "),
];

/// Word endings with their expansions, longer ones first.
const ENDINGS: [(&str, &str); 14] = [
    ("'d been", " had been"),
    ("'s been", " has been"),
    ("'d gone", " had gone"),
    ("'s gone", " has gone"),
    ("'d done", " had done"),
    ("'s got", " has got"),
    ("n't", " not"),
    ("'re", " are"),
    ("'s", " is"),
    ("'d", " would"),
    ("'ll", " will"),
    ("'t", " not"),
    ("'ve", " have"),
    ("'m", " am"),
];

/// Symbols that number parsing needs.
const KEPT: &str = ".%$¢€£";

macro_rules! patterns {
    ($($name:ident = $text:literal;)*) => { $(static $name: LazyLock<Regex> = LazyLock::new(|| pattern($text));)* };
}

patterns! {
    BEFORE_APOSTROPHE = r"[\s\x1c-\x1f]+'";
    COMMA_IN_NUMBER = r"(\d),(\d)";
    FULL_STOP = r"\.([^0-9]|$)";
    STRAY_PREFIX = r"[.$¢€£]([^0-9])";
    STRAY_PERCENT = r"([^0-9])%";
    CENTS = r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})";
    ONLY_CENTS = r"[€£$]0.([0-9]{1,2})";
}

pub fn normalise(text: &str) -> String {
    let text = expand_words(without_brackets(&text.to_lowercase()));
    let text = COMMA_IN_NUMBER.replace_all(&text, "$1$2");
    let text = FULL_STOP.replace_all(&text, " $1");
    let text = without_symbols_and_diacritics(&text, KEPT);
    let text = spelling::american(&join_money(&numbers::as_digits(&text)));
    // Removes symbols that are not part of a number.
    let text = STRAY_PREFIX.replace_all(&text, " $1");
    let text = STRAY_PERCENT.replace_all(&text, "$1 ");
    collapse_spaces(&text)
}

/// Removes fillers and expands contractions and abbreviated titles.
fn expand_words(mut text: String) -> String {
    for filler in FILLERS {
        text = replace_part(text, filler, true, "");
    }
    text = BEFORE_APOSTROPHE.replace_all(&text, "'").into_owned();
    for (word, meaning) in WORDS {
        text = replace_part(text, word, true, meaning);
    }
    for (ending, meaning) in ENDINGS {
        text = replace_part(text, ending, false, meaning);
    }
    text
}

/// Joins amounts (`$2 and ¢7` to `$2.07`, `$0.50` to `¢50`) and spells out a lone `1`, which is often not a number.
fn join_money(text: &str) -> String {
    let text = replace_at_ends(text, &CENTS, |found| format!("{}{}.{:0>2}", &found[1], &found[2], &found[3]));
    let text = replace_at_ends(&text, &ONLY_CENTS, |found| {
        let cents = found[1].trim_start_matches('0');
        format!("¢{}", if cents.is_empty() { "0" } else { cents })
    });
    let text = replace_part(text, "1", true, "one");
    replace_part(text, "1s", true, "ones")
}
