//! For any language: openai's `BasicTextNormalizer`.

use unicode_segmentation::UnicodeSegmentation;

use super::symbols::{squeeze_blanks, without_symbols, without_symbols_and_diacritics};
use super::without_brackets;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BasicNormaliser {
    /// `é` counts as `e`.
    pub remove_diacritics: bool,
    /// Every letter is a word, for scripts that put no blanks between words.
    pub split_letters: bool,
}

impl BasicNormaliser {
    pub fn normalise(self, text: &str) -> String {
        let text = without_brackets(&text.to_lowercase());
        let text = match self.remove_diacritics {
            true => without_symbols_and_diacritics(&text, ""),
            false => without_symbols(&text),
        };
        let text = text.to_lowercase();
        match self.split_letters {
            true => {
                let letters: Vec<&str> = text.graphemes(true).collect();
                squeeze_blanks(&letters.join(" "))
            }
            false => squeeze_blanks(&text),
        }
    }
}
