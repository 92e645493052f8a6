//! The only place that prints: the text of transcripts to stdout, everything else to stderr, as lines for people or
//! as JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::log::{Level, LogFormat};
use crate::error::Error;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// How the program speaks where nobody has a [`Printer`]: in the hook for panics.
static SPEAKS_JSON: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    level: Level,
    format: LogFormat,
    watched: bool,
    /// Somebody wants to know it even if nobody watches.
    asked: bool,
}

impl Printer {
    /// Notes are told only where somebody watches, unless they were `asked` for.
    pub fn new(level: Level, format: LogFormat, asked: bool) -> Self {
        SPEAKS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
        let asked = asked || format == LogFormat::Json;
        Self { level, format, watched: io::stderr().is_terminal(), asked }
    }

    /// No more than errors and warnings.
    pub fn quiet(self) -> Self {
        Self { level: self.level.min(Level::Warn), ..self }
    }

    /// Whether a display that is drawn anew would be seen.
    pub fn is_watched(&self) -> bool {
        self.watched && self.format == LogFormat::Text
    }

    /// And whether it is wanted.
    pub fn shows_progress(&self) -> bool {
        self.is_watched() && self.level > Level::Warn
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

    pub fn error(&self, error: &Error) {
        self.failure(None, error);
    }

    /// `error: what: why: cause`, then `hint: what to do`.
    pub fn failure(&self, input: Option<&str>, error: &Error) {
        say(self.format, Level::Error, input, &error.chain(), error.hint().as_deref());
    }

    /// What the reader of the command line says, which begins with `error: ` where it is for people.
    pub fn mistake(&self, text: &str) {
        let text = text.strip_prefix("error: ").unwrap_or(text);
        say(self.format, Level::Error, None, text.trim_end(), None);
    }

    pub fn warning(&self, text: &str) {
        self.tell(Level::Warn, None, text);
    }

    /// What a script wants to know, too.
    pub fn notice(&self, text: &str) {
        self.tell(Level::Info, None, text);
    }

    /// What a person who watches wants to know.
    pub fn note(&self, input: Option<&str>, text: &str) {
        if self.watched || self.asked || self.level > Level::Info {
            self.tell(Level::Info, input, text);
        }
    }

    pub fn tells(&self, level: Level) -> bool {
        level <= self.level
    }

    /// Of an input, or of none; the text names it.
    pub fn tell(&self, level: Level, input: Option<&str>, text: &str) {
        if self.tells(level) {
            say(self.format, level, input, text, None);
        }
    }

    /// A line on stderr, whatever the level.
    pub fn always(&self, text: &str) {
        say(self.format, Level::Info, None, text, None);
    }

    /// A line on stderr for programs, whatever the level.
    pub fn object(&self, object: &Value) {
        line(&object.to_string());
    }
}

fn say(format: LogFormat, level: Level, input: Option<&str>, text: &str, hint: Option<&str>) {
    if format == LogFormat::Json {
        return line(&object(level, input, text, hint).to_string());
    }
    match level {
        Level::Error => line(&format!("{ERROR}error:{ERROR:#} {text}")),
        Level::Warn => line(&format!("{WARNING}warning:{WARNING:#} {text}")),
        _ => line(text),
    }
    if let Some(hint) = hint {
        line(&format!("{HINT}hint:{HINT:#} {hint}"));
    }
}

fn object(level: Level, input: Option<&str>, text: &str, hint: Option<&str>) -> Value {
    let named = input.map(|input| format!("`{input}`: ")).unwrap_or_default();
    let message = text.strip_prefix(&named).unwrap_or(text);
    let time = format!("{:.3}", jiff::Timestamp::now());
    let mut object = json!({"time": time, "level": level.name(), "message": message});
    for (field, value) in [("input", input), ("hint", hint)] {
        if let Some(value) = value {
            object[field] = value.into();
        }
    }
    object
}

/// A broken stderr must not stop the work, so what goes wrong here is nobody's business.
fn line(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A question on stderr, to be answered on the same line.
pub fn ask(question: &str) {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// What a panic says; for the hook.
pub fn bug(message: &str, place: &str) {
    let format = if SPEAKS_JSON.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text };
    let hint = "please report it with the command and the input";
    say(format, Level::Error, None, &format!("this is a bug: {message} ({place})"), Some(hint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_names_the_input_once() {
        let object = object(Level::Warn, Some("a.mp3"), "`a.mp3`: is \"odd\"\n", Some("look"));
        assert_eq!(object["message"], "is \"odd\"\n");
        assert_eq!(
            (&object["level"], &object["input"], &object["hint"]),
            (&json!("warn"), &json!("a.mp3"), &json!("look"))
        );
        assert!(object["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
}
