//! Draws a few lines at the bottom of a terminal, and draws them anew in the same place.
//!
//! No line fills its row and each ends with a break of its own, so that after a change of the terminal's width it is
//! known how many rows they take: a progress bar of indicatif fills its rows with blanks and leaves the breaks to the
//! terminal, and then wipes too much or too little.

use std::io;

use console::{Term, measure_text_width};

pub struct Painter {
    term: Term,
    /// What stands there now.
    lines: Vec<String>,
}

impl Painter {
    /// None if the terminal cannot move its cursor.
    pub fn new() -> Option<Self> {
        let term = Term::buffered_stderr();
        let can_move = std::env::var_os("TERM").is_none_or(|name| name != "dumb");
        (term.is_term() && can_move).then_some(Self { term, lines: Vec::new() })
    }

    /// Rows, and columns.
    pub fn size(&self) -> (usize, usize) {
        let (rows, columns) = self.term.size();
        (rows.into(), columns.into())
    }

    /// A broken terminal must not stop the work.
    pub fn draw(&mut self, lines: &[String]) {
        let _ = self.try_draw(lines);
    }

    /// Removes what stands there, and says what it was.
    pub fn erase(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut self.lines);
        let _ = self.wipe(&lines).and_then(|()| self.term.flush());
        lines
    }

    fn try_draw(&mut self, lines: &[String]) -> io::Result<()> {
        let old = std::mem::replace(&mut self.lines, lines.to_vec());
        self.wipe(&old)?;
        self.term.write_str(&lines.join("\n"))?;
        self.term.flush()
    }

    /// Goes back to where the lines begin, however the terminal has wrapped them since, and wipes them.
    fn wipe(&self, lines: &[String]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let above = rows(lines, self.size().1) - 1;
        self.term.move_cursor_up(above)?;
        // Row by row: what is wiped from the first row of the screen on, tmux keeps for scrolling back.
        self.term.clear_line()?;
        for _ in 0..above {
            self.term.move_cursor_down(1)?;
            self.term.clear_line()?;
        }
        self.term.move_cursor_up(above)
    }
}

/// Rows that lines take in so many columns; at least one.
fn rows(lines: &[String], columns: usize) -> usize {
    let rows = |line: &String| measure_text_width(line).div_ceil(columns.max(1)).max(1);
    lines.iter().map(rows).sum::<usize>().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_as_the_terminal_wraps() {
        let lines = ["x".repeat(79), String::new(), "録".repeat(21)];
        assert_eq!(rows(&lines, 80), 3);
        assert_eq!(rows(&lines, 40), 2 + 1 + 2);
        assert_eq!(rows(&[], 40), 1);
    }
}
