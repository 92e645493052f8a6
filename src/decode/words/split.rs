//! Splits tokens into words.

use super::super::strip;
use super::super::tokenizer::Tokenizer;

/// A word as its tokens spell it, and their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitWord {
    pub text: String,
    pub tokens: usize,
}

/// Python's `string.punctuation`.
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Returns the words of a text, each with its leading space if it has one. In languages `without_spaces` every character
/// is a word.
pub fn words(tokenizer: &Tokenizer, tokens: &[u32], without_spaces: bool) -> Vec<SplitWord> {
    let characters = characters(tokenizer, tokens);
    if without_spaces {
        return characters;
    }
    let mut words: Vec<SplitWord> = Vec::new();
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

/// Returns the smallest groups of tokens that spell whole characters, whose bytes may be in several tokens. Bytes that
/// are no character form a group as soon as that is certain.
fn characters(tokenizer: &Tokenizer, tokens: &[u32]) -> Vec<SplitWord> {
    let whole: Vec<char> = tokenizer.decode(tokens).chars().collect();
    let (mut groups, mut first, mut offset) = (Vec::new(), 0, 0);
    for end in 1..=tokens.len() {
        let text = tokenizer.decode(&tokens[first..end]);
        let broken = text.chars().position(|c| c == char::REPLACEMENT_CHARACTER);
        let stays_broken = |at: usize| whole.get(offset + at) == Some(&char::REPLACEMENT_CHARACTER);
        if broken.is_none_or(stays_broken) {
            offset += text.chars().count();
            groups.push(SplitWord { text, tokens: end - first });
            first = end;
        }
    }
    if first < tokens.len() {
        groups.push(SplitWord { text: tokenizer.decode(&tokens[first..]), tokens: tokens.len() - first });
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

    fn split(text: &str, without_spaces: bool) -> Vec<String> {
        let tokenizer = tokenizer();
        let tokens = tokenizer.encode(text);
        let words = words(&tokenizer, &tokens, without_spaces);
        assert_eq!(words.iter().map(|word| word.tokens).sum::<usize>(), tokens.len());
        words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn spaces_and_punctuation_separate_words() {
        assert_eq!(split(" Unbelievable, isn't it?", false), [" Unbelievable", ",", " isn't", " it", "?"]);
        assert_eq!(split(" Größe 👍🏽!", false), [" Größe", " 👍🏽", "!"]);
    }

    #[test]
    fn languages_without_spaces_are_split_by_character() {
        assert_eq!(split("今天很好", true).concat(), "今天很好");
        assert!(split("今天很好", true).len() > 1);
        assert_eq!(split("今天很好", false).len(), 1);
    }

    #[test]
    fn bytes_that_are_no_text_keep_their_tokens() {
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
