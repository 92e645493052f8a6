//! Kinds of characters as Python tells them apart, and texts without symbols.

use unicode_general_category::{GeneralCategory as Category, get_general_category};
use unicode_normalization::UnicodeNormalization;

/// A blank as Python's `\s` and `str.split` know it: four separators more than Unicode's white space.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

pub fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}

/// The words with one blank between them.
pub fn one_blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in words(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Every run of blanks as one, at the ends of the text, too.
pub fn squeeze_blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_blank(c) {
            true if out.ends_with(' ') => {}
            true => out.push(' '),
            false => out.push(c),
        }
    }
    out
}

/// What Python's `\w` matches: letters, numbers of any kind and the underscore, but no marks.
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

/// The value of a decimal digit of any script. Their scripts keep them together, zero first.
pub fn digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let is_decimal = |c: char| get_general_category(c) == Category::DecimalNumber;
    let before = |n: u32| (c as u32).checked_sub(n).and_then(char::from_u32);
    is_decimal(c)
        .then(|| (1..=u32::MAX).take_while(|&n| before(n).is_some_and(is_decimal)).count() as u32 % 10)
}

/// Marks, symbols and punctuation.
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

/// Blanks instead of symbols; letters keep their diacritics.
pub fn without_symbols(text: &str) -> String {
    text.nfkc().map(|c| if is_symbol(get_general_category(c)) { ' ' } else { c }).collect()
}

/// Blanks instead of symbols but those to keep, and plain letters instead of those with diacritics.
pub fn without_symbols_and_diacritics(text: &str, keep: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd() {
        if keep.contains(c) {
            out.push(c);
            continue;
        }
        match (plain(c), get_general_category(c)) {
            (Some(plain), _) => out.push_str(plain),
            (None, Category::NonspacingMark) => {}
            (None, category) if is_symbol(category) => out.push(' '),
            (None, _) => out.push(c),
        }
    }
    out
}

/// Letters that Unicode does not take apart.
fn plain(c: char) -> Option<&'static str> {
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
