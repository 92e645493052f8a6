//! Converts spelled-out numbers to digits: openai's `EnglishNumberNormalizer`.

use std::sync::LazyLock;

use regex::Regex;

use super::boundary::{is_end, is_start, replace_at_ends};
use super::number::Number;
use super::number_words::NumberWord;
use super::pattern;
use super::symbols::words;

/// Signs that may precede a number's digits.
const SIGNS: [char; 6] = ['-', '+', '£', '€', '$', '¢'];

pub fn as_digits(text: &str) -> String {
    let text = separate_digits(&replace_halves(text));
    let words: Vec<&str> = words(&text).collect();
    let mut parser = NumberParser::default();
    let mut index = 0;
    while index < words.len() {
        let before = index.checked_sub(1).map(|i| words[i]);
        let consumes_next = parser.read(before, words[index], words.get(index + 1).copied());
        index += if consumes_next { 2 } else { 1 };
    }
    parser.flush();
    parser.out.join(" ")
}

/// Replaces `two and a half` with `two point five`.
fn replace_halves(text: &str) -> String {
    static HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"and[\s\x1c-\x1f]+a[\s\x1c-\x1f]+half"));
    let halves = HALF.find_iter(text).filter(|half| is_start(text, half.start()) && is_end(text, half.end()));
    let mut parts = Vec::new();
    let mut done = 0;
    for half in halves {
        let part = &text[done..half.start()];
        done = half.end();
        // openai's normaliser drops a half without anything before it.
        let Some(last) = words(part).next_back() else { continue };
        let word = NumberWord::of(last);
        let counts = word.is_some_and(|word| word.is_spoken_digit() || matches!(word, NumberWord::Power(_)));
        parts.extend([part, if counts { "point five" } else { "and a half" }]);
    }
    if words(&text[done..]).next().is_some() {
        parts.push(&text[done..]);
    }
    parts.join(" ")
}

/// Inserts spaces between letters and digits, except before a number's ending such as `st`.
fn separate_digits(text: &str) -> String {
    static ENDING: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])[\s\x1c-\x1f]+(st|nd|rd|th|s)"));
    let mut spaced = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let is_boundary = |a: char, b: char| a.is_ascii_lowercase() && b.is_ascii_digit();
        if is_boundary(before, c) || is_boundary(c, before) {
            spaced.push(' ');
        }
        spaced.push(c);
        before = c;
    }
    replace_at_ends(&spaced, &ENDING, |found| format!("{}{}", &found[1], &found[2]))
}

/// Reads word by word and writes each number once it is complete.
#[derive(Default)]
struct NumberParser {
    /// The sign to write before the next word.
    sign: Option<char>,
    number: Option<Number>,
    out: Vec<String>,
}

impl NumberParser {
    fn write(&mut self, text: &str) {
        let sign = self.sign.take().map(String::from).unwrap_or_default();
        self.out.push(sign + text);
    }

    /// Writes the number if there is one.
    fn flush(&mut self) {
        if let Some(number) = self.number.take() {
            self.write(number.as_str());
        }
    }

    /// Writes a number with an ending.
    fn finish(&mut self, number: Number, ending: &str) {
        self.write(&(number.into_text() + ending));
    }

    /// Writes a word that is not part of a number.
    fn plain(&mut self, word: &str) {
        self.flush();
        self.write(word);
    }

    /// Reads a word and returns whether it consumed the next word too.
    fn read(&mut self, before: Option<&str>, word: &str, next: Option<&str>) -> bool {
        let sign = word.chars().next().filter(|sign| SIGNS.contains(sign));
        if let Some(numeral) = Number::parse(&word[sign.map_or(0, char::len_utf8)..]) {
            self.read_numeral(word, sign, numeral);
            return false;
        }
        let Some(kind) = NumberWord::of(word) else {
            self.plain(word);
            return false;
        };
        let before = before.and_then(NumberWord::of);
        let next = NextWord::new(next);
        match kind {
            NumberWord::Zero => self.append("0"),
            NumberWord::Unit(digits) => self.number = Some(self.with_unit(digits, before)),
            NumberWord::LastUnit(digits, ending) => {
                let number = self.with_unit(digits, before);
                self.finish(number, ending);
            }
            NumberWord::Ten(digits) => self.number = Some(self.with_ten(digits)),
            NumberWord::LastTen(digits, ending) => {
                let number = self.with_ten(digits);
                self.finish(number, ending);
            }
            NumberWord::Power(zeros) => self.number = Some(self.with_power(zeros)),
            NumberWord::LastPower(zeros, ending) => {
                let number = self.with_power(zeros);
                self.finish(number, ending);
            }
            NumberWord::Sign(sign) => {
                self.flush();
                match next.is_numeric() {
                    true => self.sign = Some(sign),
                    false => self.write(word),
                }
            }
            NumberWord::Currency(sign) => match self.number.take() {
                Some(number) => {
                    self.sign = Some(sign);
                    self.finish(number, "");
                }
                None => self.write(word),
            },
            NumberWord::Percent => match self.number.take() {
                Some(number) => self.finish(number, "%"),
                None => self.write(word),
            },
            NumberWord::Per => match self.number.take_if(|_| next.word == Some("cent")) {
                Some(number) => {
                    self.finish(number, "%");
                    return true;
                }
                None => self.plain(word),
            },
            NumberWord::And | NumberWord::Times(_) | NumberWord::Point => {
                return self.read_joint(kind, before, word, &next);
            }
        }
        false
    }

    /// Reads a word that joins others to one number, and returns whether it consumed the next word too.
    fn read_joint(
        &mut self,
        kind: NumberWord,
        before: Option<NumberWord>,
        word: &str,
        next: &NextWord,
    ) -> bool {
        match (kind, next.kind) {
            _ if !next.is_numeric() => self.plain(word),
            (NumberWord::Times(times), Some(NumberWord::Zero)) => {
                self.append(&"0".repeat(times));
                return true;
            }
            (NumberWord::Times(times), Some(NumberWord::Unit(digits))) => {
                self.append(&digits.repeat(times));
                return true;
            }
            (NumberWord::Point, kind) => {
                if next.is_numeral || kind.is_some_and(NumberWord::is_spoken_digit) {
                    self.append(".");
                }
            }
            (NumberWord::And, _) if matches!(before, Some(NumberWord::Power(_))) => {}
            _ => self.plain(word),
        }
        false
    }

    /// Reads a word of digits.
    fn read_numeral(&mut self, word: &str, sign: Option<char>, numeral: Number) {
        match self.number.take() {
            // Decimals, or part of an address.
            Some(number) if number.is_open() => self.number = Some(number.followed_by(word)),
            number => {
                self.number = number;
                self.flush();
                self.sign = sign.or(self.sign);
                self.number = Some(numeral);
            }
        }
    }

    /// Appends digits to the number; a quantity of zero is dropped.
    fn append(&mut self, digits: &str) {
        let number = self.number.take().filter(|number| !number.is_zero());
        self.number = Some(number.unwrap_or_else(|| Number::digits("")).followed_by(digits));
    }

    fn with_unit(&mut self, digits: &'static str, before: Option<NumberWord>) -> Number {
        let Some(number) = self.number.take() else { return Number::quantity(digits) };
        let in_a_row = !number.is_quantity() || matches!(before, Some(NumberWord::Unit(_)));
        match before {
            Some(NumberWord::Ten(_)) if in_a_row && digits.len() == 1 => number.ending_in(digits),
            _ if in_a_row => number.followed_by(digits),
            _ => number.plus(digits, digits.len()),
        }
    }

    fn with_ten(&mut self, digits: &'static str) -> Number {
        match self.number.take() {
            None => Number::quantity(digits),
            Some(number) if number.is_quantity() => number.plus(digits, 2),
            Some(number) => number.followed_by(digits),
        }
    }

    fn with_power(&mut self, zeros: usize) -> Number {
        let alone = || Number::quantity(format!("1{}", "0".repeat(zeros)));
        let Some(number) = self.number.take() else { return alone() };
        number.times_power(zeros).unwrap_or_else(|| {
            self.write(number.as_str());
            alone()
        })
    }
}

/// The following word.
struct NextWord<'t> {
    word: Option<&'t str>,
    kind: Option<NumberWord>,
    is_numeral: bool,
}

impl<'t> NextWord<'t> {
    fn new(word: Option<&'t str>) -> Self {
        let is_numeral = word.is_some_and(|word| Number::parse(word).is_some());
        Self { word, kind: word.and_then(NumberWord::of), is_numeral }
    }

    /// Returns whether it can be part of a number.
    fn is_numeric(&self) -> bool {
        self.is_numeral || self.kind.is_some()
    }
}
