//! Replaces British with American spelling, by the list of openai/whisper: see `fixtures/score/make_spelling.py`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::symbols::words;

static AMERICAN: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| include_str!("spelling.txt").lines().filter_map(|line| line.split_once(' ')).collect());

pub fn american(text: &str) -> String {
    let words: Vec<&str> = words(text).map(|word| *AMERICAN.get(word).unwrap_or(&word)).collect();
    words.join(" ")
}
