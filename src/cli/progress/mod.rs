//! How far the work is: lines that are drawn anew in a terminal, or lines for a log or a program now and then.

mod board;
mod pace;
mod painter;
mod text;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use self::board::Board;
use self::painter::Painter;
use super::printer::Printer;
use crate::report::Tally;
use crate::run::RunEvent;

pub use self::text::{columns, fitted, length, shortened};

/// How often a terminal is drawn anew.
pub const TICK: Duration = Duration::from_millis(200);
/// How long people wait for a line, and programs for an object.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A display where somebody watches, else nothing.
    #[default]
    Auto,
    Bar,
    Plain,
    Json,
    None,
}

/// See the module.
pub struct Progress {
    printer: Printer,
    board: Board,
    shown: Shown,
}

enum Shown {
    Nothing,
    Painted(Painter),
    Told { as_json: bool, last: Instant },
}

impl Progress {
    pub fn new(mode: Mode, printer: Printer) -> Self {
        let is_drawn = match mode {
            Mode::Auto => printer.shows_progress(),
            Mode::Bar => printer.is_watched(),
            Mode::Plain | Mode::Json | Mode::None => false,
        };
        let shown = match mode {
            Mode::Plain | Mode::Json => Shown::Told { as_json: mode == Mode::Json, last: Instant::now() },
            _ if is_drawn => Painter::new().map_or(Shown::Nothing, Shown::Painted),
            _ => Shown::Nothing,
        };
        Self { printer, board: Board::default(), shown }
    }

    /// Takes in what is new; the tally has heard of it.
    pub fn record(&mut self, event: &RunEvent, tally: &Tally) {
        self.board.record(event, tally);
        if matches!(event, RunEvent::Finished { .. } | RunEvent::Failed { .. }) {
            self.tell(tally);
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, tally: &Tally) {
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Painted(painter) => {
                let (rows, columns) = painter.size();
                let lines = self.board.lines(rows, columns, tally);
                painter.draw(&lines);
            }
            Shown::Told { as_json, last } => {
                let every = if *as_json { JSON_EVERY } else { PLAIN_EVERY };
                if last.elapsed() >= every && self.board.is_at_work() {
                    self.tell(tally);
                }
            }
        }
    }

    /// Prints with the display out of the way.
    pub fn aside<T>(&mut self, print: impl FnOnce() -> T) -> T {
        let Shown::Painted(painter) = &mut self.shown else { return print() };
        let lines = painter.erase();
        let told = print();
        painter.draw(&lines);
        told
    }

    /// Removes the display.
    pub fn clear(&mut self) {
        if let Shown::Painted(painter) = &mut self.shown {
            painter.erase();
        }
    }

    fn tell(&mut self, tally: &Tally) {
        let Shown::Told { as_json, last } = &mut self.shown else { return };
        *last = Instant::now();
        match as_json {
            true => self.printer.object(&self.board.object(tally)),
            false => self.printer.always(&self.board.sentence(tally)),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
