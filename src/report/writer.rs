//! Writes the report to disk, a whole line per event as it happens.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::lines::{self, LineBuilder, RunInfo};
use super::{Ending, Tally, now, rounded};
use crate::error::{Error, Result};
use crate::run::RunEvent;

/// The first bytes of every line.
const BEGINNING: &[u8] = b"{\"event\":\"";

/// An open report.
pub struct ReportWriter {
    path: PathBuf,
    file: File,
    /// Bytes of complete lines.
    complete: u64,
    started: Instant,
    lines: LineBuilder,
    /// A write error was returned.
    has_warned: bool,
    has_ended: bool,
}

impl ReportWriter {
    /// Creates the report. An existing file is replaced only if it is a report that no other process is writing.
    pub fn create(path: &Path, info: &RunInfo) -> Result<Self> {
        let file = open(path)?;
        let mut report = Self {
            path: path.to_owned(),
            file,
            complete: 0,
            started: Instant::now(),
            lines: LineBuilder::default(),
            has_warned: false,
            has_ended: false,
        };
        report.add(lines::run_started(info).fields()).map_err(|source| report.unwritable(source))?;
        Ok(report)
    }

    /// Writes the lines of an event that the tally has recorded. An error is returned only the first time.
    pub fn record(&mut self, event: &RunEvent, tally: &Tally) -> Option<Error> {
        let lines = self.lines.lines(event, tally);
        let failed = lines.into_iter().find_map(|line| self.add(line).err());
        self.first_error(failed)
    }

    pub fn end(&mut self, tally: &Tally, ending: &Ending<'_>) -> Option<Error> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        let failed = self.add(lines::summary(tally, ending).fields()).err();
        self.first_error(failed)
    }

    fn add(&mut self, fields: Map<String, Value>) -> io::Result<()> {
        let elapsed = rounded(self.started.elapsed().as_secs_f64());
        let mut line = Map::new();
        // `event` comes first, then the time.
        line.extend(
            [("event", Value::Null), ("time", json!(now())), ("elapsed", json!(elapsed))]
                .map(|(name, value)| (name.to_owned(), value)),
        );
        line.extend(fields);
        let line = format!("{}\n", Value::Object(line));
        let written = self.file.write_all(line.as_bytes());
        match written {
            Ok(()) => self.complete += line.len() as u64,
            // A partial line would spoil the next one.
            Err(_) => drop(self.file.set_len(self.complete).and_then(|()| self.file.seek(SeekFrom::End(0)))),
        }
        written
    }

    fn first_error(&mut self, failed: Option<io::Error>) -> Option<Error> {
        let source = failed.filter(|_| !self.has_warned)?;
        self.has_warned = true;
        Some(self.unwritable(source))
    }

    fn unwritable(&self, source: io::Error) -> Error {
        Error::Output { path: self.path.clone(), source }
    }
}

fn open(path: &Path) -> Result<File> {
    let unwritable = |source| Error::Output { path: path.to_owned(), source };
    let refused = |why: &str, hint: &str| Error::Usage {
        what: format!("`--report {}`", path.display()),
        why: why.into(),
        hint: Some(hint.into()),
    };
    let is_file = path.is_file();
    let options = File::options().write(true).create(true).truncate(false).read(is_file).clone();
    let mut file = options.open(path).map_err(unwritable)?;
    if !is_file && !path.is_file() {
        // A pipe or a terminal cannot be inspected.
        return Ok(file);
    }
    // File systems without locks offer no protection.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(refused("another process is writing it", "give each run a report of its own"));
    }
    if is_file {
        let mut beginning = Vec::new();
        let read = (&mut file).take(BEGINNING.len() as u64).read_to_end(&mut beginning);
        if read.is_err() || !BEGINNING.starts_with(&beginning) {
            return Err(refused("exists and is not a report", "choose another name"));
        }
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(unwritable)?;
    Ok(file)
}
