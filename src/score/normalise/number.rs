//! A number of any size while its words are parsed: either a quantity or a string of digits.

use super::symbols::digit;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Decimal digits; a quantity has no leading zeros.
    text: String,
    /// Whether it supports addition and multiplication, as `twenty one` does and `one oh one` does not.
    is_quantity: bool,
}

impl Number {
    pub fn quantity(digits: impl Into<String>) -> Self {
        Self { text: digits.into(), is_quantity: true }
    }

    pub fn digits(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_quantity: false }
    }

    /// Parses a word such as `12`, `3.50` or `٣`.
    pub fn parse(word: &str) -> Option<Self> {
        let (whole, decimals) = match word.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, decimals)) => (ascii(whole)?, ascii(decimals)?),
            None => (ascii(word)?, String::new()),
        };
        if whole.is_empty() {
            return None;
        }
        Some(match decimals.bytes().all(|digit| digit == b'0') {
            true => Self::quantity(trimmed(&whole)),
            false => Self::digits(word),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn into_text(self) -> String {
        self.text
    }

    pub fn is_quantity(&self) -> bool {
        self.is_quantity
    }

    pub fn is_zero(&self) -> bool {
        self.is_quantity && self.text == "0"
    }

    /// Returns whether it ends with a decimal point that still needs digits.
    pub fn is_open(&self) -> bool {
        !self.is_quantity && self.text.ends_with('.')
    }

    /// Appends digits.
    pub fn followed_by(mut self, more: &str) -> Self {
        self.text.push_str(more);
        Self::digits(self.text)
    }

    /// Replaces the last digit, a zero.
    pub fn ending_in(mut self, digit: &str) -> Self {
        self.text.pop();
        self.followed_by(digit)
    }

    /// Adds a quantity below `10^width` if the number ends with `width` zeros; otherwise appends its digits.
    pub fn plus(self, digits: &str, width: usize) -> Self {
        let head = self.text.strip_suffix(&"0".repeat(width));
        match head {
            _ if self.is_zero() => Self::quantity(digits),
            Some(head) => Self::quantity(format!("{head}{digits}")),
            None => self.followed_by(digits),
        }
    }

    /// Multiplies the part below a thousand by a power of ten: `two thousand three` times `hundred` is `2300`. None for
    /// digits with more decimals than `zeros`.
    pub fn times_power(&self, zeros: usize) -> Option<Self> {
        if !self.is_quantity {
            return scaled(&self.text, zeros).map(Self::quantity);
        }
        let (thousands, rest) = self.text.split_at(self.text.len().saturating_sub(3));
        let product = format!("{rest}{}", "0".repeat(zeros));
        Some(Self::quantity(trimmed(&sum(&format!("{thousands}000"), &product))))
    }
}

/// Converts decimal digits of any script to ASCII.
fn ascii(text: &str) -> Option<String> {
    text.chars().map(|c| digit(c).and_then(|value| char::from_digit(value, 10))).collect()
}

fn trimmed(digits: &str) -> &str {
    match digits.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    }
}

/// Multiplies a decimal fraction by a power of ten; None if a fraction remains.
fn scaled(text: &str, zeros: usize) -> Option<String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let (whole, decimals) = (ascii(whole)?, ascii(decimals)?);
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let decimals = decimals.trim_end_matches('0');
    let missing = zeros.checked_sub(decimals.len())?;
    Some(trimmed(&format!("{whole}{decimals}{}", "0".repeat(missing))).into())
}

/// Adds two decimal integers.
fn sum(a: &str, b: &str) -> String {
    let digit_at = |text: &str, i: usize| text.bytes().rev().nth(i).map_or(0, |digit| digit - b'0');
    let mut digits = Vec::new();
    let mut carry = 0;
    for i in 0..=a.len().max(b.len()) {
        let column = digit_at(a, i) + digit_at(b, i) + carry;
        digits.push(b'0' + column % 10);
        carry = column / 10;
    }
    digits.iter().rev().map(|&digit| char::from(digit)).collect()
}
