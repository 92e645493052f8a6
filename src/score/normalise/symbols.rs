//! Character classes as Python defines them, and removal of symbols.

use unicode_general_category::{GeneralCategory as Category, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// Returns whether Python's `\s` and `str.split` treat `c` as space: Unicode's white space and four separators.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

pub fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// Joins the words with single spaces.
pub fn join_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in words(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Collapses every run of spaces to one, including at the ends of the text.
pub fn collapse_spaces(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_space(c) {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    out
}

/// Returns whether Python's `\w` matches: letters, numbers of any kind and the underscore, but no marks.
pub fn is_word(c: char) -> bool {
    use Category::*;
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    matches!(
        get_general_category(c),
        UppercaseLetter
            | LowercaseLetter
            | TitlecaseLetter
            | ModifierLetter
            | OtherLetter
            | DecimalNumber
            | LetterNumber
            | OtherNumber
    )
}

/// Returns the value of a decimal digit of any script. In every script the digits are consecutive, starting at zero.
pub fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let is_decimal = |c: char| get_general_category(c) == Category::DecimalNumber;
    let before = |n: u32| (c as u32).checked_sub(n).and_then(char::from_u32);
    is_decimal(c)
        .then(|| (1..=u32::MAX).take_while(|&n| before(n).is_some_and(is_decimal)).count() as u32 % 10)
}

/// Returns whether a category is a mark, symbol or punctuation.
fn is_symbol(category: Category) -> bool {
    use Category::*;
    matches!(
        category,
        NonspacingMark
            | SpacingMark
            | EnclosingMark
            | MathSymbol
            | CurrencySymbol
            | ModifierSymbol
            | OtherSymbol
            | ConnectorPunctuation
            | DashPunctuation
            | OpenPunctuation
            | ClosePunctuation
            | InitialPunctuation
            | FinalPunctuation
            | OtherPunctuation
    )
}

/// Replaces symbols with spaces; letters keep their diacritics.
pub fn without_symbols(text: &str) -> String {
    text.nfkc().map(|c| if is_symbol(get_general_category(c)) { ' ' } else { c }).collect()
}

/// Replaces symbols except those in `keep` with spaces, and removes diacritics.
pub fn without_symbols_and_diacritics(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd() {
        if keep.contains(c) {
            out.push(c);
            continue;
        }
        match (decompose(c), get_general_category(c)) {
            (Some(letters), _) => out.push_str(letters),
            (None, Category::NonspacingMark) => {}
            (None, category) if is_symbol(category) => out.push(' '),
            (None, _) => out.push(c),
        }
    }
    out
}

/// Decomposes letters that Unicode does not decompose.
fn decompose(c: char) -> Option<&'static str> {
    Some(match c {
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'æ' => "ae",
        'Æ' => "AE",
        'ß' => "ss",
        'ẞ' => "SS",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' | 'Þ' => "th",
        'ł' => "l",
        'Ł' => "L",
        _ => return None,
    })
}
