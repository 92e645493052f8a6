//! Reads reports and merges those of several runs into one with a common summary.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::line::rounded_coverage;
use super::{Counts, Failure, rounded, speed};
use crate::error::{Error, InputProblem, Result};
use crate::limited_read::{MAX_TEXT, read_file};
use crate::plan::InputName;
use crate::transcript::Coverage;

/// A report read from disk.
#[derive(Debug, Clone)]
pub struct LoadedReport {
    pub name: String,
    events: Vec<LoggedEvent>,
    /// The last line is incomplete: its writer was killed or is still running.
    pub is_torn: bool,
}

#[derive(Debug, Clone)]
struct LoggedEvent {
    at: Timestamp,
    /// The report that the line comes from.
    from: String,
    fields: Map<String, Value>,
}

/// Several reports as one.
#[derive(Debug, Clone)]
pub struct MergedReport {
    /// All events but the summaries, in the order of time.
    pub events: Vec<Value>,
    pub summary: Value,
    /// What became of each input, in the order in which they were planned.
    pub files: Vec<(InputName, InputOutcome)>,
}

/// How an input ended.
#[derive(Debug, Clone, PartialEq)]
pub enum InputOutcome {
    Unfinished,
    Skipped,
    /// The line of its end.
    Done(Map<String, Value>),
    Failed(Failure),
}

pub fn read(path: &Path) -> Result<LoadedReport> {
    let name = path.display().to_string();
    let unreadable = |error| Error::input(&name, InputProblem::Unreadable(error));
    let text = String::from_utf8_lossy(&read_file(path, MAX_TEXT).map_err(unreadable)?).into_owned();
    let mut events = Vec::new();
    let mut is_torn = false;
    let count = text.lines().count();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match parse_event(line, &name) {
            Some(event) => events.push(event),
            None if index + 1 == count && !text.ends_with('\n') => is_torn = true,
            None => {
                return Err(Error::Usage {
                    what: format!("`{name}`"),
                    why: format!("line {} is not a line of a report", index + 1),
                    hint: Some("name files that `--report` has written".into()),
                });
            }
        }
    }
    Ok(LoadedReport { name, events, is_torn })
}

fn parse_event(line: &str, name: &str) -> Option<LoggedEvent> {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return None };
    fields.get("event")?.as_str()?;
    let at = fields.get("time")?.as_str()?.parse().ok()?;
    let from = fields.get("from").and_then(Value::as_str).unwrap_or(name).to_owned();
    Some(LoggedEvent { at, from, fields })
}

/// Merges reports in the order of time. An input that is done in any of them is done.
pub fn merge(parts: Vec<LoadedReport>) -> MergedReport {
    let mut events: Vec<LoggedEvent> = parts.into_iter().flat_map(|part| part.events).collect();
    events.sort_by_key(|event| event.at);
    let mut tally = MergedTally::default();
    events.iter().for_each(|event| tally.record(event));
    let (summary, files) = tally.finish();
    let lines = events.into_iter().filter(|event| event.name() != "summary").map(|event| {
        let mut fields = event.fields;
        fields.insert("from".into(), event.from.into());
        Value::Object(fields)
    });
    MergedReport { events: lines.collect(), summary, files }
}

impl LoggedEvent {
    fn name(&self) -> &str {
        self.text("event")
    }

    fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the input that the line is about.
    fn input(&self) -> InputName {
        InputName::new(self.text("input"), self.fields.get("id").and_then(Value::as_str).map(str::to_owned))
    }

    fn number(&self, field: &str) -> f64 {
        self.fields.get(field).and_then(Value::as_f64).unwrap_or_default()
    }

    fn count(&self, field: &str) -> u64 {
        self.fields.get(field).and_then(Value::as_u64).unwrap_or_default()
    }
}

#[derive(Default)]
struct MergedTally {
    files: Vec<(InputName, InputOutcome)>,
    positions: BTreeMap<InputName, usize>,
    missed: BTreeMap<InputName, Failure>,
    /// From the first started input to the last ended one, by run.
    spans: BTreeMap<String, (Timestamp, Timestamp)>,
    last: Option<LoggedEvent>,
    model: Option<Value>,
    device: Option<Value>,
    chunks: BTreeSet<(InputName, u64)>,
    fallbacks: u64,
    windows: u64,
    tokens: u64,
    load_seconds: f64,
    peak_host: u64,
    peak_device: Option<u64>,
    summaries: Vec<LoggedEvent>,
}

impl MergedTally {
    fn record(&mut self, event: &LoggedEvent) {
        match event.name() {
            "file_planned" => drop(self.outcome(event)),
            "file_skipped" => {
                let outcome = self.outcome(event);
                if !matches!(outcome, InputOutcome::Done(_)) {
                    *outcome = InputOutcome::Skipped;
                }
            }
            "file_started" => drop(self.spans.entry(event.from.clone()).or_insert((event.at, event.at))),
            "file_done" => {
                self.ended(event);
                self.missed.remove(&event.input());
                *self.outcome(event) = InputOutcome::Done(event.fields.clone());
            }
            "file_failed" => {
                self.ended(event);
                if let Ok(failure) = serde_json::from_value(Value::Object(event.fields.clone())) {
                    *self.outcome(event) = InputOutcome::Failed(failure);
                }
            }
            "limit_missed" => {
                if let Ok(failure) = serde_json::from_value(Value::Object(event.fields.clone())) {
                    self.missed.insert(event.input(), failure);
                }
            }
            "model_loaded" => {
                self.model = event.fields.get("model").cloned();
                self.device = event.fields.get("device").cloned();
                self.load_seconds += event.number("seconds");
            }
            "chunk_done" => self.chunk(event),
            "window_fallback" => self.fallbacks += 1,
            "summary" => self.summary(event),
            _ => {}
        }
        self.last = Some(event.clone());
    }

    fn outcome(&mut self, event: &LoggedEvent) -> &mut InputOutcome {
        let input = event.input();
        let position = *self.positions.entry(input.clone()).or_insert_with(|| {
            self.files.push((input, InputOutcome::Unfinished));
            self.files.len() - 1
        });
        &mut self.files[position].1
    }

    fn ended(&mut self, event: &LoggedEvent) {
        if let Some(span) = self.spans.get_mut(&event.from) {
            span.1 = span.1.max(event.at);
        }
    }

    fn chunk(&mut self, event: &LoggedEvent) {
        // Resumed chunks were counted by the run that finished them, if its report is merged too.
        self.chunks.insert((event.input(), event.count("chunk")));
        if event.fields.get("kept") != Some(&Value::Bool(true)) {
            self.windows += event.count("windows");
        }
        let peak = |whose: &str| event.fields.get("memory")?.get(whose)?.get("peak")?.as_u64();
        self.peak_host = self.peak_host.max(peak("host").unwrap_or(0));
        self.peak_device = self.peak_device.max(peak("device"));
    }

    fn summary(&mut self, event: &LoggedEvent) {
        self.tokens += event.count("tokens");
        let peak = |whose: &str| event.fields.get("peak_memory")?.get(whose)?.as_u64();
        self.peak_host = self.peak_host.max(peak("host").unwrap_or(0));
        self.peak_device = self.peak_device.max(peak("device"));
        self.summaries.push(event.clone());
    }

    fn counts(&self) -> Counts {
        let count = |wanted: fn(&InputOutcome) -> bool| {
            self.files.iter().filter(|(_, outcome)| wanted(outcome)).count()
        };
        let done = count(|outcome| matches!(outcome, InputOutcome::Done(_)));
        Counts {
            planned: self.files.len(),
            done,
            skipped: count(|outcome| matches!(outcome, InputOutcome::Skipped)),
            failed: count(|outcome| matches!(outcome, InputOutcome::Failed(_))),
            unfinished: count(|outcome| matches!(outcome, InputOutcome::Unfinished)),
            missed: self.missed().len(),
        }
    }

    /// Returns the missed quality gates of inputs that are done.
    fn missed(&self) -> Vec<&Failure> {
        let done = self.files.iter().filter(|(_, outcome)| matches!(outcome, InputOutcome::Done(_)));
        done.filter_map(|(input, _)| self.missed.get(input)).collect()
    }

    fn failures(&self) -> Vec<&Failure> {
        let failed = self.files.iter().filter_map(|(_, outcome)| match outcome {
            InputOutcome::Failed(failure) => Some(failure),
            _ => None,
        });
        failed.collect()
    }

    /// Returns the time in which any of the runs worked.
    fn seconds(&self) -> f64 {
        let mut spans: Vec<_> = self.spans.values().copied().collect();
        spans.sort();
        let (mut seconds, mut until) = (0.0, None::<Timestamp>);
        for (start, end) in spans {
            let start = until.map_or(start, |until| start.max(until));
            seconds += end.duration_since(start).as_secs_f64().max(0.0);
            until = until.max(Some(end));
        }
        seconds
    }

    /// Returns the exit code of a single run over all inputs.
    fn exit_code(&self, counts: &Counts) -> u64 {
        let worst = |failures: &[&Failure]| failures.iter().map(|failure| failure.exit_code.into()).max();
        let ended_badly = || self.summaries.iter().rev().map(|summary| summary.count("exit_code"));
        let unfinished = (counts.unfinished > 0).then(|| ended_badly().find(|code| *code != 0).unwrap_or(1));
        unfinished.or(worst(&self.failures())).or(worst(&self.missed())).unwrap_or(0)
    }

    fn finish(self) -> (Value, Vec<(InputName, InputOutcome)>) {
        let counts = self.counts();
        let (mut audio_seconds, mut coverage) = (0.0, Coverage::default());
        for (_, outcome) in &self.files {
            let InputOutcome::Done(line) = outcome else { continue };
            audio_seconds += line.get("audio_seconds").and_then(Value::as_f64).unwrap_or(0.0);
            let covered =
                line.get("coverage").and_then(|c| serde_json::from_value::<Coverage>(c.clone()).ok());
            covered.iter().for_each(|covered| coverage.add(covered));
        }
        let unfinished: Vec<&str> = self
            .files
            .iter()
            .filter(|(_, outcome)| *outcome == InputOutcome::Unfinished)
            .map(|(input, _)| &**input)
            .collect();
        let open = |field: &str| match unfinished.is_empty() {
            true => None,
            false => self.summaries.iter().rev().find_map(|s| s.fields.get(field).filter(|v| !v.is_null())),
        };
        let seconds = self.seconds();
        let cache = self.summaries.iter().rev().find_map(|s| s.fields.get("cache").filter(|v| !v.is_null()));
        let summary = json!({
            "event": "summary",
            "time": self.last.as_ref().map(|last| last.text("time").to_owned()),
            "elapsed": rounded(seconds),
            "counts": counts,
            "failures": self.failures(),
            "missed": self.missed(),
            "unfinished": unfinished,
            "errors": open("errors").cloned().unwrap_or_else(|| json!([])),
            "model": self.model,
            "device": self.device,
            "audio_seconds": rounded(audio_seconds),
            "seconds": rounded(seconds),
            "speed": speed(audio_seconds, seconds),
            "coverage": (counts.done > 0).then(|| rounded_coverage(&coverage)),
            "chunks": self.chunks.len(),
            "windows": self.windows,
            "fallbacks": self.fallbacks,
            "tokens": self.tokens,
            "load_seconds": rounded(self.load_seconds),
            "peak_memory": {"host": self.peak_host, "device": self.peak_device},
            "cache": cache,
            "stopped": open("stopped"),
            "exit_code": self.exit_code(&counts),
        });
        (summary, self.files)
    }
}
