//! Draws a few lines at the bottom of a terminal and redraws them in place.
//!
//! No line fills its row, and each ends with its own line break, so that it is known how many rows the lines take after
//! the terminal was resized. A progress bar of indicatif fills its rows with spaces and lets the terminal wrap them, so
//! that it erases too much or too little after a resize.

use std::io;

use console::{Term, measure_text_width};

/// Draws lines to stderr.
pub struct TerminalRenderer {
    term: Term,
    /// The lines on the screen.
    lines: Vec<String>,
}

impl TerminalRenderer {
    /// Returns none if stderr is not a terminal that can move its cursor.
    pub fn new() -> Option<Self> {
        let term = Term::buffered_stderr();
        let can_move = std::env::var_os("TERM").is_none_or(|name| name != "dumb");
        (term.is_term() && can_move).then_some(Self { term, lines: Vec::new() })
    }

    /// Returns the rows and columns of the terminal.
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), columns.into())
    }

    /// Replaces the lines on the screen. Errors are ignored: a broken terminal must not stop the work.
    pub fn draw(&mut self, lines: &[String]) {
        let _ = self.try_draw(lines);
    }

    /// Erases the lines and returns them.
    pub fn erase(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut self.lines);
        let _ = self.clear(&lines).and_then(|()| self.term.flush());
        lines
    }

    fn try_draw(&mut self, lines: &[String]) -> io::Result<()> {
        let old = std::mem::replace(&mut self.lines, lines.to_vec());
        self.clear(&old)?;
        self.term.write_str(&lines.join("\n"))?;
        self.term.flush()
    }

    /// Moves the cursor to where the lines start, taking into account how the terminal has wrapped them, and clears them.
    fn clear(&self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let above = rows(lines, self.size().1) - 1;
        self.term.move_cursor_up(above)?;
        // Cleared row by row, since tmux keeps what is cleared from the first row of the screen in its history.
        self.term.clear_line()?;
        for _ in 0..above {
            self.term.move_cursor_down(1)?;
            self.term.clear_line()?;
        }
        self.term.move_cursor_up(above)
    }
}

/// Returns the rows that lines take in a terminal; at least one.
fn rows(lines: &[String], columns: usize) -> usize {
    let rows = |line: &String| measure_text_width(line).div_ceil(columns.max(1)).max(1);
    lines.iter().map(rows).sum::<usize>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rows_as_the_terminal_wraps_lines() {
        let lines = ["x".repeat(79), String::new(), "録".repeat(21)];
        assert_eq!(rows(&lines, 80), 3);
        assert_eq!(rows(&lines, 40), 2 + 1 + 2);
        assert_eq!(rows(&[], 40), 1);
    }
}
