//! Renders two aligned texts as one, with markup or colours where they differ.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::score::{EditOp, WordAlignment};

const DELETED: Style = AnsiColor::Red.on_default().strikethrough();
const INSERTED: Style = AnsiColor::Green.on_default();
const SUBSTITUTED: Style = AnsiColor::Yellow.on_default();

/// Shows the differences between a reference and a hypothesis.
#[derive(Debug, Clone, Copy)]
pub struct AlignmentRenderer {
    coloured: bool,
    width: usize,
}

impl AlignmentRenderer {
    pub fn new(coloured: bool, width: usize) -> Self {
        Self { coloured, width }
    }

    /// Renders the texts in lines no wider than the width, unless a word is wider.
    pub fn render(&self, aligned: &WordAlignment) -> String {
        let (mut reference, mut hypothesis) = (aligned.reference.iter(), aligned.hypothesis.iter());
        let mut out = String::new();
        let mut column = 0;
        for step in &aligned.ops {
            let expected = if *step == EditOp::Insertion { None } else { reference.next() };
            let found = if *step == EditOp::Deletion { None } else { hypothesis.next() };
            let expected = expected.map(String::as_str).unwrap_or_default();
            let found = found.map(String::as_str).unwrap_or_default();
            let (mut text, style) = self.word(*step, expected, found);
            // A transcript must not control the terminal.
            text.retain(|c| !c.is_control());
            let width = text.width();
            if column > 0 && column + 1 + width > self.width {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            match self.coloured {
                true => out.push_str(&format!("{style}{text}{style:#}")),
                false => out.push_str(&text),
            }
            column += width;
        }
        out
    }

    fn word(&self, step: EditOp, expected: &str, found: &str) -> (String, Style) {
        match (step, self.coloured) {
            (EditOp::Hit, _) => (found.to_owned(), Style::new()),
            (EditOp::Deletion, true) => (expected.to_owned(), DELETED),
            (EditOp::Deletion, false) => (format!("[-{expected}-]"), DELETED),
            (EditOp::Insertion, true) => (found.to_owned(), INSERTED),
            (EditOp::Insertion, false) => (format!("{{+{found}+}}"), INSERTED),
            (EditOp::Substitution, true) => (format!("{expected}→{found}"), SUBSTITUTED),
            (EditOp::Substitution, false) => (format!("[-{expected}-]{{+{found}+}}"), SUBSTITUTED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aligned() -> WordAlignment {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        let steps = vec![EditOp::Hit, EditOp::Deletion, EditOp::Substitution, EditOp::Insertion, EditOp::Hit];
        WordAlignment {
            reference: words("the old door shut"),
            hypothesis: words("the moor was shut"),
            ops: steps,
        }
    }

    #[test]
    fn marks_differences_and_wraps_lines() {
        assert_eq!(
            AlignmentRenderer::new(false, 80).render(&aligned()),
            "the [-old-] [-door-]{+moor+} {+was+} shut"
        );
        assert_eq!(
            AlignmentRenderer::new(false, 16).render(&aligned()),
            "the [-old-]\n[-door-]{+moor+}\n{+was+} shut"
        );
        let coloured = AlignmentRenderer::new(true, 80).render(&aligned());
        assert!(
            coloured.contains("\u{1b}[33mdoor→moor\u{1b}[0m \u{1b}[32mwas\u{1b}[0m shut"),
            "{coloured:?}"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), "the old door→moor was shut");
    }
}
