//! Small things about text that must be as in Python.

/// Without the blanks at both ends, by Python's notion of a blank.
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}
