//! Replacements that ask whether a word ends, by Python's idea of a word, which no regex crate shares.

use regex::{Captures, Regex};

use super::symbols::is_word;

/// Whether no word goes on here.
pub fn is_end(text: &str, at: usize) -> bool {
    !text[at..].chars().next().is_some_and(is_word)
}

/// Whether no word ends here.
pub fn is_start(text: &str, at: usize) -> bool {
    !text[..at].chars().next_back().is_some_and(is_word)
}

/// Replaces `part` where a word ends with it, and where it is a whole word if `whole` says so. The part ends with a
/// letter.
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

/// Replaces the matches of `pattern` behind which no word goes on; the last thing the pattern takes is part of a word.
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
