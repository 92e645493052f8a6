//! The only place that prints: results to stdout, messages to stderr, as lines for people or as JSON for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use console::Term;
use serde_json::{Value, json};

use super::log::{LogFormat, LogLevel};
use crate::error::{Error, Result};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();
const HEADING: Style = Style::new().bold();

/// The width of stdout if it is not a terminal.
const DEFAULT_WIDTH: usize = 100;

/// The log format for the panic hook, which has no [`Printer`].
static LOG_FORMAT_IS_JSON: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy)]
pub struct Printer {
    level: LogLevel,
    format: LogFormat,
    /// Whether stderr is a terminal.
    is_terminal: bool,
    /// Whether notes are printed even if stderr is not a terminal.
    prints_notes: bool,
}

impl Printer {
    /// Notes are printed only to a terminal unless they were `requested`.
    pub fn new(level: LogLevel, format: LogFormat, requested: bool) -> Self {
        LOG_FORMAT_IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
        let prints_notes = requested || format == LogFormat::Json;
        Self { level, format, is_terminal: io::stderr().is_terminal(), prints_notes }
    }

    /// Prints only errors and warnings.
    pub fn quiet(self) -> Self {
        Self { level: self.level.min(LogLevel::Warn), ..self }
    }

    /// Returns whether stderr can show a progress display.
    pub fn can_show_progress(&self) -> bool {
        self.is_terminal && self.format == LogFormat::Text
    }

    /// Returns whether a progress display is shown by default.
    pub fn shows_progress(&self) -> bool {
        self.can_show_progress() && self.level > LogLevel::Warn
    }

    /// Prints a line of a transcript to stdout and flushes it.
    pub fn line(&self, line: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    }

    /// Prints the name of an input above its text.
    pub fn heading(&self, name: &str) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{HEADING}{name}{HEADING:#}")?;
        out.flush()
    }

    /// Returns whether people read stdout.
    pub fn prints_to_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Prints an output to stdout, ended by a line break.
    pub fn bytes(&self, content: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(content)?;
        if !content.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    /// Prints the result of a command to stdout. Colours are stripped unless stdout shows them; a reader that closes the
    /// pipe early is no error.
    pub fn result(&self, text: &str) -> Result<()> {
        let mut out = anstream::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Output { path: "standard output".into(), source })
            }
            _ => Ok(()),
        }
    }

    /// Returns whether stdout shows colours.
    pub fn shows_colours(&self) -> bool {
        anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    }

    /// Returns the columns of stdout.
    pub fn width(&self) -> usize {
        Term::stdout().size_checked().map_or(DEFAULT_WIDTH, |(_, columns)| columns.into())
    }

    pub fn error(&self, error: &Error) {
        self.failure(None, error);
    }

    /// Prints `error: what: why: cause`, then `hint: what to do`.
    pub fn failure(&self, input: Option<&str>, error: &Error) {
        write_message(self.format, LogLevel::Error, input, &error.chain(), error.hint().as_deref());
    }

    /// Prints an error of another library, or clap's message, which starts with `error: ` already.
    pub fn error_text(&self, text: &str) {
        let text = text.strip_prefix("error: ").unwrap_or(text);
        write_message(self.format, LogLevel::Error, None, text.trim_end(), None);
    }

    pub fn warning(&self, text: &str) {
        self.log(LogLevel::Warn, None, text);
    }

    /// Prints what scripts also want to know.
    pub fn notice(&self, text: &str) {
        self.log(LogLevel::Info, None, text);
    }

    /// Prints what only people in front of a terminal want to know.
    pub fn note(&self, input: Option<&str>, text: &str) {
        if self.is_terminal || self.prints_notes || self.level > LogLevel::Info {
            self.log(LogLevel::Info, input, text);
        }
    }

    /// Prints a line of the access log: as JSON with its fields, or as text.
    pub fn access(&self, text: &str, fields: &Value) {
        if !self.logs(LogLevel::Info) {
            return;
        }
        match (self.format, fields) {
            (LogFormat::Json, Value::Object(fields)) => {
                let mut object = message_object(LogLevel::Info, None, text, None);
                fields.iter().for_each(|(name, value)| object[name] = value.clone());
                write_line(&object.to_string());
            }
            _ => write_line(text),
        }
    }

    pub fn logs(&self, level: LogLevel) -> bool {
        level <= self.level
    }

    /// Prints a message about an input, which the text names, or about the whole run.
    pub fn log(&self, level: LogLevel, input: Option<&str>, text: &str) {
        if self.logs(level) {
            write_message(self.format, level, input, text, None);
        }
    }

    /// Prints a line to stderr regardless of the log level.
    pub fn always(&self, text: &str) {
        write_message(self.format, LogLevel::Info, None, text, None);
    }

    /// Prints a JSON object to stderr regardless of the log level.
    pub fn object(&self, object: &Value) {
        write_line(&object.to_string());
    }
}

fn write_message(format: LogFormat, level: LogLevel, input: Option<&str>, text: &str, hint: Option<&str>) {
    if format == LogFormat::Json {
        return write_line(&message_object(level, input, text, hint).to_string());
    }
    match level {
        LogLevel::Error => write_line(&format!("{ERROR}error:{ERROR:#} {text}")),
        LogLevel::Warn => write_line(&format!("{WARNING}warning:{WARNING:#} {text}")),
        _ => write_line(text),
    }
    if let Some(hint) = hint {
        write_line(&format!("{HINT}hint:{HINT:#} {hint}"));
    }
}

fn message_object(level: LogLevel, input: Option<&str>, text: &str, hint: Option<&str>) -> Value {
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

/// Ignores errors: a closed stderr must not stop the work.
fn write_line(text: &str) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Prints a question to stderr, to be answered on the same line.
pub fn ask(question: &str) {
    let mut out = anstream::stderr().lock();
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// Reports a panic; for the panic hook.
pub fn bug(message: &str, location: &str) {
    let format = if LOG_FORMAT_IS_JSON.load(Ordering::Relaxed) { LogFormat::Json } else { LogFormat::Text };
    let hint = "please report it with the command and the input";
    let text = format!("this is a bug: {message} ({location})");
    write_message(format, LogLevel::Error, None, &text, Some(hint));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_objects_name_the_input_once() {
        let object = message_object(LogLevel::Warn, Some("a.mp3"), "`a.mp3`: is \"odd\"\n", Some("look"));
        assert_eq!(object["message"], "is \"odd\"\n");
        assert_eq!(
            (&object["level"], &object["input"], &object["hint"]),
            (&json!("warn"), &json!("a.mp3"), &json!("look"))
        );
        assert!(object["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
}
