//! `--metrics-file`: figures that Prometheus can read at any time, strictly read.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::program::{Running, bare, fixture};

/// By name and labels, as they stand there.
type Figures = BTreeMap<String, f64>;

/// Reads the text format as strictly as it is described: help and type once for each family, before its samples,
/// which follow each other.
fn parse(text: &str) -> Figures {
    assert!(text.ends_with('\n'), "the last line breaks off");
    let mut figures = Figures::new();
    let mut families: Vec<(String, String)> = Vec::new();
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(!words.is_empty() && families.iter().all(|(known, _)| known != name), "{line}");
            helped = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name == helped && ["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            families.push((name.to_owned(), kind.to_owned()));
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').map_or((sample, ""), |(name, rest)| (name, rest));
            assert_eq!(Some(name), families.last().map(|(name, _)| name.as_str()), "{line}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
            check_labels(labels, line);
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
            assert!(value.is_finite() && figures.insert(sample.to_owned(), value).is_none(), "{line}");
        }
    }
    figures
}

fn check_labels(labels: &str, line: &str) {
    let Some(labels) = labels.strip_suffix('}') else { return assert_eq!(labels, "", "{line}") };
    for label in labels.split(',') {
        let (name, value) = label.split_once('=').unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        assert!(!value.contains(['"', '\n']), "{line}");
    }
}

fn program(folder: &Path) -> Command {
    std::fs::copy(fixture("long/long_en.flac"), folder.join("long.flac")).unwrap();
    std::fs::write(folder.join("empty.mp3"), b"").unwrap();
    let mut program = bare();
    program.current_dir(folder).env("TRANSCRIBE_MODEL", "demo");
    program.args(["long.flac", "empty.mp3", "--export", "srt", "--chunk-length", "30"]);
    program.args(["--metrics-file", "run.prom", "--report", "run.jsonl"]);
    program
}

fn read(folder: &Path) -> Figures {
    parse(&std::fs::read_to_string(folder.join("run.prom")).unwrap())
}

#[test]
#[cfg(unix)]
fn the_file_is_whole_at_any_time_and_its_figures_are_those_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut killed = Running::start_until(program(here), "hang chunk 2");
    assert!(killed.wait_for("test hook: chunk"));
    let early = read(here);
    assert_eq!((early["transcribe_running"], early.get("transcribe_last_run_exit_code")), (1.0, None));
    killed.signal("KILL");
    killed.end();
    assert_eq!(read(here), early);
    let names: Vec<String> = crate::program::names(here);
    assert!(!names.iter().any(|name| name.contains("run.prom.")), "{names:?}");

    assert_eq!(program(here).output().unwrap().status.code(), Some(1));
    let figures = read(here);
    let report = std::fs::read_to_string(here.join("run.jsonl")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(report.lines().last().unwrap()).unwrap();
    for result in ["done", "skipped", "failed"] {
        let figure = figures[&format!("transcribe_files_total{{result=\"{result}\"}}")];
        assert_eq!(Some(figure), summary["counts"][result].as_f64(), "{result}");
    }
    for (name, field) in [
        ("audio_seconds", "audio_seconds"),
        ("chunks", "chunks"),
        ("windows", "windows"),
        ("tokens", "tokens"),
    ] {
        assert_eq!(Some(figures[&format!("transcribe_{name}_total")]), summary[field].as_f64(), "{name}");
    }
    assert_eq!(figures["transcribe_audio_seconds_total"], 120.0);
    assert!(figures["transcribe_chunks_resumed_total"] >= 1.0);
    let factor = figures["transcribe_run_seconds"] / 120.0;
    assert!((figures["transcribe_real_time_factor"] - factor).abs() < 1e-9);
    assert!(figures["transcribe_memory_peak_bytes{device=\"host\"}"] > 1e6);
    assert!(figures["transcribe_model_load_seconds_total"] > 0.0);
    assert_eq!((figures["transcribe_running"], figures["transcribe_last_run_exit_code"]), (0.0, 1.0));
    assert_eq!(figures["transcribe_slots_taken"], 0.0);
}

#[test]
#[cfg(unix)]
fn a_request_to_stop_is_counted_and_the_end_before_stays_known() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut stopped = Running::start_until(program(here), "stop chunk 2");
    assert!(stopped.wait_for("test hook: chunk"));
    stopped.signal("TERM");
    stopped.end();
    let figures = read(here);
    assert_eq!(figures["transcribe_cancellations_total{reason=\"terminate\"}"], 1.0);
    assert_eq!(figures["transcribe_last_run_exit_code"], 143.0);
    let mut next = Running::start_until(program(here), "hang load 1");
    assert!(next.wait_for("test hook: load"));
    let during = read(here);
    assert_eq!((during["transcribe_running"], during["transcribe_last_run_exit_code"]), (1.0, 143.0));
    next.signal("KILL");
    next.end();
}

#[test]
fn refuses_to_replace_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    program(here);
    let before = std::fs::read(here.join("long.flac")).unwrap();
    let mut program = bare();
    program.current_dir(here).args(["long.flac", "--model", "tiny", "--metrics-file", "long.flac"]);
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exists and does not hold metrics\nhint: "));
    assert_eq!(std::fs::read(here.join("long.flac")).unwrap(), before);
    let mut program = bare();
    program.current_dir(here).args(["long.flac", "--model", "tiny", "--metrics-file", "no/run.prom"]);
    assert_eq!(program.output().unwrap().status.code(), Some(6));
}
