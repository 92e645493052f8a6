//! `transcribe report`: merges reports of runs, shows them and prints their schema.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::exit::ExitCode;
use super::printer::Printer;
use super::progress::{clock, columns, fitted, shortened};
use super::run_summary;
use crate::plan::InputName;
use crate::report::{self, Failure, InputOutcome, LoadedReport, MergedReport};
use crate::store::write_file;
use crate::transcript::Coverage;

/// The maximum width of the column of input names.
const MAX_NAME_WIDTH: usize = 48;

/// Merge and show the reports that --report writes, or print their schema
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    command: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// Merge the reports of several runs, such as shards, into one with one summary; an input done by any of them is done
    Merge {
        /// Reports, in any order
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,

        /// Output file [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show reports as a table with the result, speed and quality of each input
    Show {
        /// Reports; several are merged
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,
    },
    /// Print the JSON Schema of a report's lines
    Schema,
}

pub fn run(args: &ReportArgs, printer: Printer) -> Result<ExitCode> {
    match &args.command {
        ReportCommand::Merge { reports, output } => merge(reports, output.as_deref(), printer)?,
        ReportCommand::Show { reports } => show(reports, printer)?,
        ReportCommand::Schema => printer.result(&format!("{:#}", report::schema()))?,
    }
    Ok(ExitCode::Done)
}

fn read(paths: &[PathBuf], printer: Printer) -> Result<MergedReport> {
    let parts: Vec<LoadedReport> =
        paths.iter().map(|path| report::read(path)).collect::<crate::error::Result<_>>()?;
    for part in parts.iter().filter(|part| part.is_torn) {
        let name = &part.name;
        printer.warning(&format!(
            "`{name}`: its last line is incomplete and was ignored: the run was killed, or is still running"
        ));
    }
    Ok(report::merge(parts))
}

fn merge(paths: &[PathBuf], output: Option<&Path>, printer: Printer) -> Result<()> {
    let merged = read(paths, printer)?;
    let mut lines: Vec<String> = merged.events.iter().map(Value::to_string).collect();
    lines.push(merged.summary.to_string());
    match output {
        Some(path) => write_file(path, format!("{}\n", lines.join("\n")).as_bytes())?,
        None => printer.result(&lines.join("\n"))?,
    }
    totals(&merged).iter().for_each(|line| printer.notice(line));
    Ok(())
}

fn show(paths: &[PathBuf], printer: Printer) -> Result<()> {
    let merged = read(paths, printer)?;
    let mut lines = run_lines(&merged);
    lines.extend(table(&merged.files));
    lines.extend(totals(&merged));
    Ok(printer.result(&lines.join("\n"))?)
}

/// Lists the merged runs.
fn run_lines(merged: &MergedReport) -> Vec<String> {
    let started = merged.events.iter().filter(|event| event["event"] == "run_started");
    let mut lines: Vec<String> = started
        .map(|run| {
            let text = |field: &str| run[field].as_str().unwrap_or("?").to_owned();
            let options = run["options"].as_object().into_iter().flatten();
            let options: Vec<String> = options.map(|(name, value)| option(name, value)).collect();
            format!("{}  {} on {}  {}", text("time"), text("version"), text("host"), options.join(" "))
        })
        .collect();
    let model = merged.summary["model"]["revision"].as_str().or(merged.summary["model"]["name"].as_str());
    let device = merged.summary["device"].as_str();
    lines.extend(model.zip(device).map(|(model, device)| format!("model {model} on {device}")));
    lines.push(String::new());
    lines
}

fn option(name: &str, value: &Value) -> String {
    match value {
        Value::String(value) if value == "true" => format!("--{name}"),
        Value::String(value) => format!("--{name} {value}"),
        Value::Array(values) => values.iter().map(|value| option(name, value)).collect::<Vec<_>>().join(" "),
        value => format!("--{name} {value}"),
    }
}

fn table(files: &[(InputName, InputOutcome)]) -> Vec<String> {
    let head =
        ["input", "result", "audio", "speed", "language", "text", "confidence", "subtitles", "speakers"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    files.iter().for_each(|(input, _)| *uses.entry(input).or_default() += 1);
    let is_repeated = |input: &InputName| uses.get(&**input) > Some(&1);
    rows.extend(files.iter().map(|(input, outcome)| match input.id().filter(|_| is_repeated(input)) {
        Some(id) => row(&format!("{input} ({id})"), outcome),
        None => row(input, outcome),
    }));
    // Few runs tell speakers apart.
    if rows[1..].iter().all(|row| row.last().is_none_or(|cell| row.len() < head.len() || cell == "-")) {
        rows.iter_mut().for_each(|row| row.truncate(head.len() - 1));
    }
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, |cell| columns(cell))).max();
    let mut widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    // A reason of failure may be wider than the column, since it is the last cell of its row.
    widths[1] = rows.iter().filter(|row| row.len() > 2).map(|row| columns(&row[1])).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| if columns(cell) > *width { cell.clone() } else { fitted(cell, *width) });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.push(String::new());
    lines
}

fn row(input: &str, outcome: &InputOutcome) -> Vec<String> {
    let name = shortened(input, MAX_NAME_WIDTH);
    match outcome {
        InputOutcome::Unfinished => vec![name, "not finished".into()],
        InputOutcome::Skipped => vec![name, "skipped: already done".into()],
        InputOutcome::Failed(failure) => vec![name, format!("failed: {}", failure.reason())],
        InputOutcome::Done(line) => {
            let mut cells = vec![name, "done".into()];
            cells.extend(figures(line));
            cells
        }
    }
}

/// Returns the audio, speed, language, share of speech with text, confidence, subtitle score and number of speakers of a
/// finished input.
fn figures(line: &Map<String, Value>) -> [String; 7] {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let cell = |number: Option<f64>, format: fn(f64) -> String| number.map_or("-".into(), format);
    let coverage = line.get("coverage");
    let part = |name: &str| number(coverage?.get(name));
    let text = part("transcribed").zip(part("duration")).filter(|(_, all)| *all > 0.0);
    [
        cell(number(line.get("audio_seconds")), clock),
        cell(number(line.get("speed")), |speed| format!("{speed:.1}x")),
        line.get("language").and_then(Value::as_str).unwrap_or("-").to_owned(),
        cell(text.map(|(text, all)| text / all * 100.0), |percent| format!("{percent:.0} %")),
        cell(number(line.get("confidence")), |confidence| format!("{confidence:.2}")),
        cell(number(line.get("cue_score")), |score| format!("{score:.0}")),
        line.get("speakers").and_then(Value::as_array).map_or("-".into(), |list| list.len().to_string()),
    ]
}

/// Counts the inputs by result and reason, and summarizes the speed.
fn totals(merged: &MergedReport) -> Vec<String> {
    let summary = &merged.summary;
    let count = |name: &str| summary["counts"][name].as_u64().unwrap_or(0);
    let results =
        [("done", "done"), ("skipped", "skipped"), ("failed", "failed"), ("unfinished", "not finished")];
    let counts = results
        .iter()
        .filter(|(name, _)| count(name) > 0)
        .map(|(name, what)| format!("{} {what}", count(name)));
    let mut lines = vec![format!("{} inputs: {}", count("planned"), counts.collect::<Vec<_>>().join(", "))];
    for list in ["failures", "missed"] {
        let failures: Vec<Failure> = serde_json::from_value(summary[list].clone()).unwrap_or_default();
        lines.extend(run_summary::reasons(&failures));
    }
    let number = |name: &str| summary[name].as_f64().unwrap_or(0.0);
    let coverage: Coverage = serde_json::from_value(summary["coverage"].clone()).unwrap_or_default();
    lines.extend(run_summary::audio(number("audio_seconds"), number("seconds"), &coverage));
    lines
}
