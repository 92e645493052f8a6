//! Two texts as one, with marks or colours where they differ.

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use crate::score::{EditOp, WordAlignment};

const DELETED: Style = AnsiColor::Red.on_default().strikethrough();
const INSERTED: Style = AnsiColor::Green.on_default();
const SUBSTITUTED: Style = AnsiColor::Yellow.on_default();

/// How differences are shown.
#[derive(Debug, Clone, Copy)]
pub struct Marks {
    coloured: bool,
    width: usize,
}

impl Marks {
    pub fn new(coloured: bool, width: usize) -> Self {
        Self { coloured, width }
    }

    /// Lines no wider than the screen, unless a word is.
    pub fn show(&self, aligned: &WordAlignment) -> String {
        let (mut said, mut heard) = (aligned.reference.iter(), aligned.hypothesis.iter());
        let mut out = String::new();
        let mut column = 0;
        for step in &aligned.ops {
            let said = if *step == EditOp::Insertion { None } else { said.next() };
            let heard = if *step == EditOp::Deletion { None } else { heard.next() };
            let said = said.map(String::as_str).unwrap_or_default();
            let heard = heard.map(String::as_str).unwrap_or_default();
            let (mut text, style) = self.piece(*step, said, heard);
            // A transcript must not steer the terminal.
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

    fn piece(&self, step: EditOp, said: &str, heard: &str) -> (String, Style) {
        match (step, self.coloured) {
            (EditOp::Hit, _) => (heard.to_owned(), Style::new()),
            (EditOp::Deletion, true) => (said.to_owned(), DELETED),
            (EditOp::Deletion, false) => (format!("[-{said}-]"), DELETED),
            (EditOp::Insertion, true) => (heard.to_owned(), INSERTED),
            (EditOp::Insertion, false) => (format!("{{+{heard}+}}"), INSERTED),
            (EditOp::Substitution, true) => (format!("{said}→{heard}"), SUBSTITUTED),
            (EditOp::Substitution, false) => (format!("[-{said}-]{{+{heard}+}}"), SUBSTITUTED),
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
    fn differences_are_marked_and_lines_end_in_time() {
        assert_eq!(Marks::new(false, 80).show(&aligned()), "the [-old-] [-door-]{+moor+} {+was+} shut");
        assert_eq!(Marks::new(false, 16).show(&aligned()), "the [-old-]\n[-door-]{+moor+}\n{+was+} shut");
        let coloured = Marks::new(true, 80).show(&aligned());
        assert!(
            coloured.contains("\u{1b}[33mdoor→moor\u{1b}[0m \u{1b}[32mwas\u{1b}[0m shut"),
            "{coloured:?}"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), "the old door→moor was shut");
    }
}
