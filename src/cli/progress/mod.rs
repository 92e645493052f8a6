//! Progress of a run: a display that is redrawn in a terminal, or lines from time to time for a log or a program.

mod model;
mod rate;
mod renderer;
mod text;

use std::time::{Duration, Instant};

use clap::ValueEnum;

use self::model::ProgressModel;
use self::renderer::TerminalRenderer;
use super::printer::Printer;
use crate::report::Tally;
use crate::run::RunEvent;

pub use self::text::{clock, columns, fitted, shortened};

/// How often the display is redrawn.
pub const TICK: Duration = Duration::from_millis(200);
/// The time between lines for people, and between objects for programs.
const PLAIN_EVERY: Duration = Duration::from_secs(10);
const JSON_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// A display if stderr is a terminal, otherwise nothing.
    #[default]
    Auto,
    Bar,
    Plain,
    Json,
    None,
}

/// Shows the progress of a run.
pub struct Progress {
    printer: Printer,
    model: ProgressModel,
    view: ProgressView,
}

/// How progress is shown.
enum ProgressView {
    None,
    Display(TerminalRenderer),
    Lines { as_json: bool, last: Instant },
}

impl Progress {
    pub fn new(mode: ProgressMode, printer: Printer) -> Self {
        let is_drawn = match mode {
            ProgressMode::Auto => printer.shows_progress(),
            ProgressMode::Bar => printer.can_show_progress(),
            ProgressMode::Plain | ProgressMode::Json | ProgressMode::None => false,
        };
        let view = match mode {
            ProgressMode::Plain | ProgressMode::Json => {
                ProgressView::Lines { as_json: mode == ProgressMode::Json, last: Instant::now() }
            }
            _ if is_drawn => TerminalRenderer::new().map_or(ProgressView::None, ProgressView::Display),
            _ => ProgressView::None,
        };
        Self { printer, model: ProgressModel::default(), view }
    }

    /// Updates the model with an event that the tally has already recorded.
    pub fn record(&mut self, event: &RunEvent, tally: &Tally) {
        self.model.record(event, tally, Instant::now());
        if matches!(event, RunEvent::Finished { .. } | RunEvent::Failed { .. }) {
            self.print_line(tally);
        }
    }

    /// Refreshes the display, or prints a line if it is time for one.
    pub fn tick(&mut self, tally: &Tally) {
        match &mut self.view {
            ProgressView::None => {}
            ProgressView::Display(renderer) => {
                let (rows, columns) = renderer.size();
                let lines = self.model.lines((rows, columns), tally, Instant::now());
                renderer.draw(&lines);
            }
            ProgressView::Lines { as_json, last } => {
                let every = if *as_json { JSON_EVERY } else { PLAIN_EVERY };
                if last.elapsed() >= every && self.model.is_active() {
                    self.print_line(tally);
                }
            }
        }
    }

    /// Prints while the display is erased.
    pub fn suspended<T>(&mut self, print: impl FnOnce() -> T) -> T {
        let ProgressView::Display(renderer) = &mut self.view else { return print() };
        let lines = renderer.erase();
        let printed = print();
        renderer.draw(&lines);
        printed
    }

    /// Removes the display.
    pub fn clear(&mut self) {
        if let ProgressView::Display(renderer) = &mut self.view {
            renderer.erase();
        }
    }

    fn print_line(&mut self, tally: &Tally) {
        let ProgressView::Lines { as_json, last } = &mut self.view else { return };
        *last = Instant::now();
        match as_json {
            true => self.printer.object(&self.model.object(tally, Instant::now())),
            false => self.printer.always(&self.model.sentence(tally, Instant::now())),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
