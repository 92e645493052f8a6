//! The configuration file: TOML with the line of every key. This is the only module that uses the toml crate.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::position;
use crate::error::Error;
use crate::limited_read::read_file;

#[derive(Debug)]
pub struct ConfigFile {
    pub path: PathBuf,
    /// The entries in the order of their lines.
    pub entries: Vec<ConfigEntry>,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigEntry {
    /// The tables around it, outermost first.
    pub tables: Vec<String>,
    /// The line where the innermost table starts.
    pub table_line: usize,
    pub key: String,
    pub line: usize,
    /// The value as written in the file, for messages.
    pub written: String,
    pub value: ConfigValue,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ConfigValue {
    Bool(bool),
    /// A string or number as it would be given on the command line.
    Text(String),
    List(Vec<ConfigValue>),
    /// A table inside a list.
    Table,
}

/// The largest file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The maximum length of a value in a message.
const MAX_WRITTEN: usize = 60;

impl ConfigFile {
    /// Reads the file; returns none if it does not exist and was not `named` explicitly.
    pub fn read(path: &Path, named: bool) -> Result<Option<Self>, Error> {
        let read = read_file(path, MAX_BYTES);
        let text = match read.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
            Err(error) => return Err(unreadable(path, &error, named)),
        };
        Self::parse(path, &text).map(Some)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let root = DeTable::parse(text).map_err(|error| Error::Usage {
            what: position(path, line_of(text, &error.span().unwrap_or_default())),
            why: error.message().lines().collect::<Vec<_>>().join(", "),
            hint: Some("the file must be TOML: `key = value`, with strings in quotes".into()),
        })?;
        let mut entries = Vec::new();
        collect_entries(text, root.get_ref(), (&[], 0), &mut entries);
        entries.sort_by_key(|entry| entry.line);
        Ok(Self { path: path.to_owned(), entries })
    }
}

fn unreadable(path: &Path, error: &io::Error, named: bool) -> Error {
    let (why, hint) = match error.kind() {
        io::ErrorKind::NotFound => ("there is no such file".to_owned(), "check the path of `--config`"),
        _ if named => (format!("cannot be read: {error}"), "check the path of `--config`"),
        _ => (format!("cannot be read: {error}"), "`--no-config` runs without it"),
    };
    Error::Usage { what: format!("`{}`", path.display()), why, hint: Some(hint.into()) }
}

/// Adds the entries of a table and its inner tables.
fn collect_entries(
    text: &str,
    table: &DeTable<'_>,
    (tables, line): (&[String], usize),
    entries: &mut Vec<ConfigEntry>,
) {
    for (key, value) in table {
        let name = key.get_ref().to_string();
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                let inside = [tables, &[name]].concat();
                collect_entries(text, inner, (&inside, line_of(text, &key.span())), entries);
            }
            // An empty table has no entries.
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
) -> ConfigEntry {
    ConfigEntry {
        tables: tables.to_vec(),
        table_line,
        key: key.get_ref().to_string(),
        line: line_of(text, &key.span()),
        written: shortened(text.get(value.span()).unwrap_or_default()),
        value: plain(value.get_ref()),
    }
}

fn plain(value: &DeValue<'_>) -> ConfigValue {
    match value {
        DeValue::Boolean(value) => ConfigValue::Bool(*value),
        DeValue::String(text) => ConfigValue::Text(text.to_string()),
        // clap does not parse TOML's `1_000` and `0xff`.
        DeValue::Integer(number) => {
            let read = i128::from_str_radix(number.as_str(), number.radix());
            ConfigValue::Text(read.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        DeValue::Float(number) => ConfigValue::Text(number.as_str().to_owned()),
        // A local time stands for a duration, as in `offset = 00:01:30`.
        DeValue::Datetime(time) => ConfigValue::Text(time.to_string()),
        DeValue::Array(values) => {
            ConfigValue::List(values.iter().map(|value| plain(value.get_ref())).collect())
        }
        DeValue::Table(_) => ConfigValue::Table,
    }
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count() + 1
}

fn shortened(written: &str) -> String {
    let mut text: String = written.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() > MAX_WRITTEN {
        text = text.chars().take(MAX_WRITTEN).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<ConfigEntry>, String> {
        let parsed = ConfigFile::parse(Path::new("t.toml"), text);
        parsed.map(|file| file.entries).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_converted_to_command_line_values() {
        let text =
            "b = true\n\n# no\na = \"x y\"\nn = 1_000\nh = 0xff\nf = -0.50\nt = 00:01:30\nl = [\"a\",\n 2]\n";
        let values: Vec<(String, usize, ConfigValue)> =
            parse(text).unwrap().into_iter().map(|entry| (entry.key, entry.line, entry.value)).collect();
        let text = |text: &str| ConfigValue::Text(text.into());
        let expected = [
            ("b", 1, ConfigValue::Bool(true)),
            ("a", 4, text("x y")),
            ("n", 5, text("1000")),
            ("h", 6, text("255")),
            ("f", 7, text("-0.50")),
            ("t", 8, text("00:01:30")),
            ("l", 9, ConfigValue::List(vec![text("a"), text("2")])),
        ];
        assert_eq!(values, expected.map(|(key, line, value)| (key.to_owned(), line, value)));
    }

    #[test]
    fn entries_know_their_tables() {
        let entries = parse("a = 1\n[export]\na = 2\nb.c = 3\n[empty]\n").unwrap();
        let found: Vec<String> =
            entries.iter().map(|e| format!("{}:{}.{}", e.line, e.tables.join("."), e.key)).collect();
        assert_eq!(found, ["1:.a", "3:export.a", "4:export.b.c"]);
    }

    #[test]
    fn invalid_toml_is_reported_with_its_line() {
        for (text, line) in [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("\n\nx\n", 3), ("m = small", 1)] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("`t.toml`, line {line}: ")), "{error}");
        }
    }
}
