//! Replacements at word boundaries as Python's `\b` defines them, which differs from every regex crate.

use regex::{Captures, Regex};

use super::symbols::is_word;

/// Returns whether no word continues at this offset.
pub fn is_end(text: &str, at: usize) -> bool {
    !text[at..].chars().next().is_some_and(is_word)
}

/// Returns whether no word precedes this offset.
pub fn is_start(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(is_word)
}

/// Replaces `part` at the end of words, or only whole words if `whole` is set. `part` must end with a letter.
pub fn replace_part(text: String, part: &str, whole: bool, by: &str) -> String {
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices(part) {
        if is_end(&text, at + part.len()) && (!whole || is_start(&text, at)) {
            out.push_str(&text[done..at]);
            out.push_str(by);
            done = at + part.len();
        }
    }
    if done == 0 {
        return text;
    }
    out.push_str(&text[done..]);
    out
}

/// Replaces matches of `pattern` that end at the end of a word. The last character of a match must be part of a word.
pub fn replace_at_ends(text: &str, pattern: &Regex, by: impl Fn(&Captures<'_>) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut done, mut from) = (0, 0);
    while let Some(found) = pattern.captures_at(text, from) {
        let Some(whole) = found.get(0) else { break };
        if is_end(text, whole.end()) {
            out.push_str(&text[done..whole.start()]);
            out.push_str(&by(&found));
            done = whole.end();
            from = done;
        } else {
            from = whole.start() + text[whole.start()..].chars().next().map_or(1, char::len_utf8);
        }
    }
    out.push_str(&text[done..]);
    out
}
