//! `transcribe report`: reports of runs read again: joined, shown, explained.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::exit::ExitCode;
use super::failed;
use super::printer::Printer;
use super::progress::{columns, fitted, length, shortened};
use super::run_summary as account;
use crate::error::{Error, Result};
use crate::report::{self, Failure, InputOutcome, LoadedReport, MergedReport};
use crate::store::write_file;
use crate::transcript::Coverage;

/// Names of inputs take so many columns at most.
const NAME: usize = 48;

/// Read the reports that --report has written: join those of several runs, show one to a person, print their schema
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Join the reports of several runs, of shards say, into one with one summary; what one of them has done is done
    Merge {
        /// Reports, in any order
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,

        /// Where to write it [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show reports as a table: what became of each input, how fast and how well
    Show {
        /// Reports; several are joined
        #[arg(required = true, value_name = "REPORT")]
        reports: Vec<PathBuf>,
    },
    /// Print the JSON Schema of the lines of a report
    Schema,
}

pub fn run(args: &ReportArgs, printer: Printer) -> ExitCode {
    let done = match &args.what {
        What::Merge { reports, output } => merge(reports, output.as_deref(), printer),
        What::Show { reports } => show(reports, printer),
        What::Schema => print(&format!("{:#}", report::schema()), printer),
    };
    done.map_or_else(|error| failed(printer, &error), |()| ExitCode::Done)
}

fn read(paths: &[PathBuf], printer: Printer) -> Result<MergedReport> {
    let parts: Vec<LoadedReport> = paths.iter().map(|path| report::read(path)).collect::<Result<_>>()?;
    for part in parts.iter().filter(|part| part.is_torn) {
        let name = &part.name;
        printer.warning(&format!(
            "`{name}`: its last line breaks off and is left out: the run was killed, or goes on"
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
        None => print(&lines.join("\n"), printer)?,
    }
    totals(&merged).iter().for_each(|line| printer.notice(line));
    Ok(())
}

fn show(paths: &[PathBuf], printer: Printer) -> Result<()> {
    let merged = read(paths, printer)?;
    let mut lines = head(&merged);
    lines.extend(table(&merged.files));
    lines.extend(totals(&merged));
    print(&lines.join("\n"), printer)
}

/// A reader who has seen enough is no failure.
fn print(text: &str, printer: Printer) -> Result<()> {
    match printer.text(text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|source| Error::Output { path: "standard output".into(), source }),
    }
}

/// Which runs they were.
fn head(merged: &MergedReport) -> Vec<String> {
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

fn table(files: &[(String, InputOutcome)]) -> Vec<String> {
    let head = ["input", "result", "audio", "speed", "language", "text", "sure", "subtitles"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(files.iter().map(|(input, fate)| row(input, fate)));
    let width = |column: usize| rows.iter().map(|row| row.get(column).map_or(0, |cell| columns(cell))).max();
    let mut widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    // A reason may be as long as it likes: nothing stands behind it.
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

fn row(input: &str, fate: &InputOutcome) -> Vec<String> {
    let name = shortened(input, NAME);
    match fate {
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

/// Of an input that is done: its audio, speed, language, text, confidence and subtitles.
fn figures(line: &Map<String, Value>) -> [String; 6] {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    let told = |number: Option<f64>, tell: fn(f64) -> String| number.map_or("-".into(), tell);
    let coverage = line.get("coverage");
    let part = |name: &str| number(coverage?.get(name));
    let text = part("transcribed").zip(part("duration")).filter(|(_, all)| *all > 0.0);
    [
        told(number(line.get("audio_seconds")), length),
        told(number(line.get("speed")), |speed| format!("{speed:.1}x")),
        line.get("language").and_then(Value::as_str).unwrap_or("-").to_owned(),
        told(text.map(|(text, all)| text / all * 100.0), |percent| format!("{percent:.0} %")),
        told(number(line.get("confidence")), |confidence| format!("{confidence:.2}")),
        told(number(line.get("cue_score")), |score| format!("{score:.0}")),
    ]
}

/// How many came to which end and why, and how fast it was.
fn totals(merged: &MergedReport) -> Vec<String> {
    let summary = &merged.summary;
    let count = |name: &str| summary["counts"][name].as_u64().unwrap_or(0);
    let ends =
        [("done", "done"), ("skipped", "skipped"), ("failed", "failed"), ("unfinished", "not finished")];
    let told =
        ends.iter().filter(|(name, _)| count(name) > 0).map(|(name, what)| format!("{} {what}", count(name)));
    let mut lines = vec![format!("{} inputs: {}", count("planned"), told.collect::<Vec<_>>().join(", "))];
    for list in ["failures", "missed"] {
        let failures: Vec<Failure> = serde_json::from_value(summary[list].clone()).unwrap_or_default();
        lines.extend(account::reasons(&failures));
    }
    let number = |name: &str| summary[name].as_f64().unwrap_or(0.0);
    let coverage: Coverage = serde_json::from_value(summary["coverage"].clone()).unwrap_or_default();
    lines.extend(account::audio(number("audio_seconds"), number("seconds"), &coverage));
    lines
}
