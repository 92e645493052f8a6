//! Spelled-out numbers as digits: openai's `EnglishNumberNormalizer`.

use std::sync::LazyLock;

use regex::Regex;

use super::boundary::{is_end, is_start, replace_at_ends};
use super::number::Number;
use super::number_words::NumberWord;
use super::pattern;
use super::symbols::words;

/// Signs that may stand before a number's digits.
const SIGNS: [char; 6] = ['-', '+', '£', '€', '$', '¢'];

pub fn as_digits(text: &str) -> String {
    let text = apart(&with_halves(text));
    let words: Vec<&str> = words(&text).collect();
    let mut reader = NumberReader::default();
    let mut at = 0;
    while at < words.len() {
        let before = at.checked_sub(1).map(|i| words[i]);
        let skip = reader.read(before, words[at], words.get(at + 1).copied());
        at += if skip { 2 } else { 1 };
    }
    reader.flush();
    reader.out.join(" ")
}

/// `two and a half` as `two point five`.
fn with_halves(text: &str) -> String {
    static HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"and[\s\x1c-\x1f]+a[\s\x1c-\x1f]+half"));
    let halves = HALF.find_iter(text).filter(|half| is_start(text, half.start()) && is_end(text, half.end()));
    let mut parts = Vec::new();
    let mut done = 0;
    for half in halves {
        let part = &text[done..half.start()];
        done = half.end();
        // Nothing before it: openai's drops it.
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

/// A blank between letters and digits, but not before what may be a number's ending.
fn apart(text: &str) -> String {
    static ENDING: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])[\s\x1c-\x1f]+(st|nd|rd|th|s)"));
    let mut spaced = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let is_seam = |a: char, b: char| a.is_ascii_lowercase() && b.is_ascii_digit();
        if is_seam(before, c) || is_seam(c, before) {
            spaced.push(' ');
        }
        spaced.push(c);
        before = c;
    }
    replace_at_ends(&spaced, &ENDING, |found| format!("{}{}", &found[1], &found[2]))
}

/// Reads word by word, and writes a number when it is over.
#[derive(Default)]
struct NumberReader {
    /// To be written before whatever is written next.
    sign: Option<char>,
    number: Option<Number>,
    out: Vec<String>,
}

impl NumberReader {
    fn write(&mut self, text: &str) {
        let sign = self.sign.take().map(String::from).unwrap_or_default();
        self.out.push(sign + text);
    }

    /// The number is over.
    fn flush(&mut self) {
        if let Some(number) = self.number.take() {
            self.write(number.as_str());
        }
    }

    /// The number is over, and ends like this.
    fn finish(&mut self, number: Number, ending: &str) {
        self.write(&(number.into_text() + ending));
    }

    fn plain(&mut self, word: &str) {
        self.flush();
        self.write(word);
    }

    /// Whether the next word is done with, too.
    fn read(&mut self, before: Option<&str>, word: &str, next: Option<&str>) -> bool {
        let sign = word.chars().next().filter(|sign| SIGNS.contains(sign));
        if let Some(numeral) = Number::parse(&word[sign.map_or(0, char::len_utf8)..]) {
            self.numeral(word, sign, numeral);
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
                match next.may_count() {
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
                return self.joint(kind, before, word, &next);
            }
        }
        false
    }

    /// A word that joins others to one number. Whether the next one is done with, too.
    fn joint(&mut self, kind: NumberWord, before: Option<NumberWord>, word: &str, next: &NextWord) -> bool {
        match (kind, next.kind) {
            _ if !next.may_count() => self.plain(word),
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

    fn numeral(&mut self, word: &str, sign: Option<char>, numeral: Number) {
        match self.number.take() {
            // Decimals, or a part of an address.
            Some(number) if number.is_open() => self.number = Some(number.followed_by(word)),
            number => {
                self.number = number;
                self.flush();
                self.sign = sign.or(self.sign);
                self.number = Some(numeral);
            }
        }
    }

    /// Digits in a row. A quantity of zero counts for nothing here.
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

/// The word to come.
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

    /// Whether it can be part of a number.
    fn may_count(&self) -> bool {
        self.is_numeral || self.kind.is_some()
    }
}
