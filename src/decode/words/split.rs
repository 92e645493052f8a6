//! Tokens → words: where one word ends and the next begins, and which marks belong to which.

use super::super::language::Language;
use super::super::text::strip;
use super::super::tokenizer::Tokenizer;

/// A word as the tokens spell it, and how many of them do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelled {
    pub text: String,
    pub tokens: usize,
}

/// What Python holds for punctuation.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Whether blanks tell nothing about the words of a language; each character is then a word.
pub fn is_written_without_blanks(language: Language) -> bool {
    matches!(language.code(), "zh" | "ja" | "th" | "lo" | "my" | "yue")
}

/// The words of a text, each with its leading blank if it has one.
pub fn words(tokenizer: &Tokenizer, tokens: &[u32], without_blanks: bool) -> Vec<Spelled> {
    let characters = characters(tokenizer, tokens);
    if without_blanks {
        return characters;
    }
    let mut words: Vec<Spelled> = Vec::new();
    for part in characters {
        let begins = part.text.starts_with(' ') || PUNCTUATION.contains(strip(&part.text));
        match words.last_mut() {
            Some(word) if !begins => {
                word.text.push_str(&part.text);
                word.tokens += part.tokens;
            }
            _ => words.push(part),
        }
    }
    words
}

/// The smallest groups of tokens that spell whole characters. A character may have its bytes in several tokens; what
/// never becomes a character is a group as soon as that is certain.
fn characters(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<Spelled> {
    let whole: Vec<char> = tokenizer.decode(tokens).chars().collect();
    let (mut groups, mut first, mut offset) = (Vec::new(), 0, 0);
    for end in 1..=tokens.len() {
        let text = tokenizer.decode(&tokens[first..end]);
        let broken = text.chars().position(|c| c == char::REPLACEMENT_CHARACTER);
        let stays_broken = |at: usize| whole.get(offset + at) == Some(&char::REPLACEMENT_CHARACTER);
        if broken.is_none_or(stays_broken) {
            offset += text.chars().count();
            groups.push(Spelled { text, tokens: end - first });
            first = end;
        }
    }
    if first < tokens.len() {
        groups.push(Spelled { text: tokenizer.decode(&tokens[first..]), tokens: tokens.len() - first });
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer() -> Tokenizer {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/tokenizer.json");
        Tokenizer::from_json(&std::fs::read(path).unwrap(), 51_865).unwrap()
    }

    fn split(text: &str, without_blanks: bool) -> Vec<String> {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(text);
        let words = words(&tokenizer, &tokens, without_blanks);
        assert_eq!(words.iter().map(|word| word.tokens).sum::<usize>(), tokens.len());
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn blanks_and_marks_part_words() {
        assert_eq!(split(" Unbelievable, isn't it?", false), [" Unbelievable", ",", " isn't", " it", "?"]);
        assert_eq!(split(" Größe 👍🏽!", false), [" Größe", " 👍🏽", "!"]);
    }

    #[test]
    fn some_languages_are_split_by_character() {
        assert_eq!(split("今天很好", true).concat(), "今天很好");
        assert!(split("今天很好", true).len() > 1);
        assert_eq!(split("今天很好", false).len(), 1);
        let codes = ["ja", "yue", "de", "ko"].map(|code| is_written_without_blanks(code.parse().unwrap()));
        assert_eq!(codes, [true, true, false, false]);
    }

    #[test]
    fn bytes_that_are_no_text_are_not_lost() {
        let tokenizer = tokenizer();
        let thumb = tokenizer.encode("👍");
        assert!(thumb.len() > 1);
        for cut in 1..thumb.len() {
            for tokens in [&thumb[..cut], &thumb[cut..], &[&thumb[..cut], &tokenizer.encode(" a")].concat()] {
                let words = words(&tokenizer, tokens, false);
                assert_eq!(words.iter().map(|word| word.tokens).sum::<usize>(), tokens.len());
            }
        }
    }
}
