//! The only place that prints: the text of transcripts to stdout, everything else to stderr.

use std::error::Error as _;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// How much to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Talk {
    Quiet,
    /// Notes only where somebody watches.
    Normal,
    Verbose,
}

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    talk: Talk,
    watched: bool,
}

impl Printer {
    pub fn new(talk: Talk) -> Self {
        Self { talk, watched: io::stderr().is_terminal() }
    }

    /// Whether a progress bar would be seen and is wanted.
    pub fn shows_progress(&self) -> bool {
        self.watched && self.talk > Talk::Quiet
    }

    /// A line of a transcript, handed on at once.
    pub fn text(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Lines on stdout that may have colours; they are left out where nobody would see them.
    pub fn styled(&self, text: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }

    /// Whether stdout shows colours, and they are wanted.
    pub fn shows_colours(&self) -> bool {
        anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    }

    /// Columns of stdout.
    pub fn width(&self) -> usize {
        terminal_size::terminal_size_of(io::stdout()).map_or(100, |(width, _)| width.0.into())
    }

    /// `error: what: why: cause`, then `hint: what to do`.
    pub fn error(&self, error: &Error) {
        self.line(ERROR, "error", &chain(error));
        if let Some(hint) = error.hint() {
            self.line(HINT, "hint", &hint);
        }
    }

    pub fn warning(&self, text: &str) {
        self.line(WARNING, "warning", text);
    }

    /// What a script wants to know, too.
    pub fn notice(&self, text: &str) {
        if self.talk > Talk::Quiet {
            self.plain(text);
        }
    }

    /// What a person who watches wants to know.
    pub fn note(&self, text: &str) {
        if self.talk == Talk::Verbose || self.shows_progress() {
            self.plain(text);
        }
    }

    pub fn detail(&self, text: &str) {
        if self.talk == Talk::Verbose {
            self.plain(text);
        }
    }

    fn line(&self, style: Style, kind: &str, text: &str) {
        self.plain(&format!("{style}{kind}:{style:#} {text}"));
    }

    /// A broken stderr must not stop the work, so what goes wrong here is nobody's business.
    fn plain(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

/// An error and its causes in one line, without what a cause only repeats.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        let said = said.lines().next().unwrap_or_default();
        if !said.is_empty() && !text.contains(said) {
            text.push_str(": ");
            text.push_str(said);
        }
        cause = inner.source();
    }
    text
}

/// A question on stderr, to be answered on the same line.
pub fn ask(question: &str) {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// What a panic says; for the hook.
pub fn bug(message: &str, place: &str) {
    let printer = Printer { talk: Talk::Normal, watched: false };
    printer.line(ERROR, "error", &format!("this is a bug: {message} ({place})"));
    printer.line(HINT, "hint", "please report it with the command and the input");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InputFault, ModelFault};

    #[test]
    fn causes_follow_and_are_not_repeated() {
        let missing = InputFault::Unreadable(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(chain(&Error::input("a.mp3", missing)), "`a.mp3`: cannot be read: entity not found");
        let cause = anyhow::Error::msg("refused\n  at somewhere").context("download failed");
        let error = Error::model("tiny", ModelFault::Download(cause.into()));
        assert_eq!(chain(&error), "model `tiny`: download failed: refused");
    }
}
