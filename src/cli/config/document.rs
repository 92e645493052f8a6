//! The file itself: TOML, with the line of every key. The only user of toml.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::at;
use crate::error::Error;

#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    /// In the order of the lines.
    pub entries: Vec<Entry>,
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The tables around it, outermost first.
    pub tables: Vec<String>,
    /// Where the innermost of them begins.
    pub table_line: usize,
    pub key: String,
    pub line: usize,
    /// As the file has it, for messages.
    pub written: String,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    /// As the command line would have it.
    Text(String),
    List(Vec<Value>),
    /// A table within a list.
    Table,
}

/// More than this of a value does not help a message.
const LONGEST: usize = 60;

impl File {
    /// None if the file is not there, and nobody asked for it by name.
    pub fn read(path: &Path, named: bool) -> Result<Option<Self>, Error> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
            Err(error) => return Err(unreadable(path, &error, named)),
        };
        Self::parse(path, &text).map(Some)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let root = DeTable::parse(text).map_err(|error| Error::Usage {
            what: at(path, line_of(text, &error.span().unwrap_or_default())),
            why: error.message().lines().collect::<Vec<_>>().join(", "),
            hint: Some("it is read as TOML: `key = value`, with texts in quotes".into()),
        })?;
        let mut entries = Vec::new();
        gather(text, root.get_ref(), (&[], 0), &mut entries);
        entries.sort_by_key(|entry| entry.line);
        Ok(Self { path: path.to_owned(), entries })
    }
}

fn unreadable(path: &Path, error: &io::Error, named: bool) -> Error {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file".to_owned(), "check the path of `--config`"),
        _ if named => (format!("cannot be read: {error}"), "check the path of `--config`"),
        _ => (format!("cannot be read: {error}"), "`--no-config` does without it"),
    };
    Error::Usage { what: format!("`{}`", path.display()), why, hint: Some(hint.into()) }
}

fn gather(text: &str, table: &DeTable<'_>, (tables, line): (&[String], usize), entries: &mut Vec<Entry>) {
    for (key, value) in table {
        let name = key.get_ref().to_string();
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                let inside = [tables, &[name]].concat();
                gather(text, inner, (&inside, line_of(text, &key.span())), entries);
            }
            // Nothing stands in it.
            DeValue::Table(_) => {}
            _ => entries.push(entry(text, key, value, (tables, line))),
        }
    }
}

fn entry(
    text: &str,
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    (tables, table_line): (&[String], usize),
) -> Entry {
    Entry {
        tables: tables.to_vec(),
        table_line,
        key: key.get_ref().to_string(),
        line: line_of(text, &key.span()),
        written: shortened(text.get(value.span()).unwrap_or_default()),
        value: plain(value.get_ref()),
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::String(text) => Value::Text(text.to_string()),
        // `1_000` and `0xff` are TOML's, and clap knows neither.
        DeValue::Integer(number) => {
            let read = i128::from_str_radix(number.as_str(), number.radix());
            Value::Text(read.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        DeValue::Float(number) => Value::Text(number.as_str().to_owned()),
        // A length of time, such as `offset = 00:01:30`.
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(values) => Value::List(values.iter().map(|value| plain(value.get_ref())).collect()),
        DeValue::Table(_) => Value::Table,
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}

fn shortened(written: &str) -> String {
    let mut text: String = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > LONGEST {
        text = text.chars().take(LONGEST).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Entry>, String> {
        let parsed = File::parse(Path::new("t.toml"), text);
        parsed.map(|file| file.entries).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_as_the_command_line_would_have_them() {
        let text =
            "b = true\n\n# no\na = \"x y\"\nn = 1_000\nh = 0xff\nf = -0.50\nt = 00:01:30\nl = [\"a\",\n 2]\n";
        let values: Vec<(String, usize, Value)> =
            parse(text).unwrap().into_iter().map(|entry| (entry.key, entry.line, entry.value)).collect();
        let text = |text: &str| Value::Text(text.into());
        let expected = [
            ("b", 1, Value::Bool(true)),
            ("a", 4, text("x y")),
            ("n", 5, text("1000")),
            ("h", 6, text("255")),
            ("f", 7, text("-0.50")),
            ("t", 8, text("00:01:30")),
            ("l", 9, Value::List(vec![text("a"), text("2")])),
        ];
        assert_eq!(values, expected.map(|(key, line, value)| (key.to_owned(), line, value)));
    }

    #[test]
    fn tables_are_told_apart() {
        let entries = parse("a = 1\n[export]\na = 2\nb.c = 3\n[empty]\n").unwrap();
        let told: Vec<String> =
            entries.iter().map(|e| format!("{}:{}.{}", e.line, e.tables.join("."), e.key)).collect();
        assert_eq!(told, ["1:.a", "3:export.a", "4:export.b.c"]);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        for (text, line) in [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("\n\nx\n", 3), ("m = small", 1)] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("`t.toml`, line {line}: ")), "{error}");
        }
    }
}
