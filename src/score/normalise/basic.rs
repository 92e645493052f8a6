//! The normaliser for any language: openai's `BasicTextNormalizer`.

use unicode_segmentation::UnicodeSegmentation;

use super::symbols::{collapse_spaces, without_symbols, without_symbols_and_diacritics};
use super::without_brackets;

/// Options of the basic normaliser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BasicNormaliser {
    /// Treats `é` as `e`.
    pub remove_diacritics: bool,
    /// Treats every letter as a word, for scripts without spaces between words.
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
                collapse_spaces(&letters.join(" "))
            }
            false => collapse_spaces(&text),
        }
    }
}
