//! The report on disk: whole lines, each written as it happens.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::lines::{self, Line, Lines, RunInfo};
use super::{Ending, Tally, now, rounded};
use crate::error::{Error, Result};
use crate::run::RunEvent;

/// What every line begins with.
const BEGINNING: &[u8] = b"{\"event\":\"";

pub struct Report {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    whole: u64,
    started: Instant,
    lines: Lines,
    /// That it cannot be written was told.
    has_warned: bool,
    has_ended: bool,
}

impl Report {
    /// Begins a new one. What is there and is none is left alone: it may be a recording. So is one that another
    /// process is writing.
    pub fn create(path: &Path, info: &RunInfo) -> Result<Self> {
        let file = open(path)?;
        let mut report = Self {
            path: path.to_owned(),
            file,
            whole: 0,
            started: Instant::now(),
            lines: Lines::default(),
            has_warned: false,
            has_ended: false,
        };
        report.add(lines::run_started(info)).map_err(|source| report.unwritable(source))?;
        Ok(report)
    }

    /// Writes the lines of an event that the tally has recorded. An error is returned only the first time.
    pub fn record(&mut self, event: &RunEvent, tally: &Tally) -> Option<Error> {
        let lines = self.lines.of(event, tally);
        let failed = lines.into_iter().find_map(|line| self.add(line).err());
        self.once(failed)
    }

    pub fn end(&mut self, tally: &Tally, ending: &Ending<'_>) -> Option<Error> {
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        let failed = self.add(lines::summary(tally, ending)).err();
        self.once(failed)
    }

    fn add(&mut self, (event, fields): Line) -> io::Result<()> {
        let elapsed = rounded(self.started.elapsed().as_secs_f64());
        let mut line = json!({"event": event, "time": now(), "elapsed": elapsed});
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        let line = format!("{line}\n");
        let written = self.file.write_all(line.as_bytes());
        match written {
            Ok(()) => self.whole += line.len() as u64,
            // What was written of the line would spoil the next one.
            Err(_) => drop(self.file.set_len(self.whole).and_then(|()| self.file.seek(SeekFrom::End(0)))),
        }
        written
    }

    fn once(&mut self, failed: Option<io::Error>) -> Option<Error> {
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
        // A pipe or a terminal takes what comes.
        return Ok(file);
    }
    // Where files cannot be locked, nobody is kept away.
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(refused("another process is writing it", "give each run a report of its own"));
    }
    if is_file {
        let mut beginning = Vec::new();
        let read = (&mut file).take(BEGINNING.len() as u64).read_to_end(&mut beginning);
        if read.is_err() || !BEGINNING.starts_with(&beginning) {
            return Err(refused("is there and is no report", "choose another name"));
        }
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(unwritable)?;
    Ok(file)
}
