//! Messages on stderr: log levels, JSON, and progress without a terminal.

use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{DEMO_WARNING, bare, fixture};

fn demo(line: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("long/short_en.flac"), folder.path().join("talk.flac")).unwrap();
    std::fs::write(folder.path().join("empty.mp3"), b"").unwrap();
    let mut program = bare();
    program.current_dir(folder.path()).env("TRANSCRIBE_MODEL", "demo").args(line.split_whitespace());
    (folder, program)
}

fn run(line: &str) -> Output {
    let (_folder, mut program) = demo(line);
    program.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    let stderr = stderr(output);
    stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

#[test]
fn json_messages_are_the_only_output_on_stderr() {
    let output =
        run("talk.flac empty.mp3 --export srt --log-format json --stats --log-level trace --progress json");
    assert_eq!(output.status.code(), Some(1));
    let objects = objects(&output);
    for object in objects.iter().filter(|object| object["event"].is_null()) {
        assert!(object["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{object}");
        assert!(object["message"].is_string() && object["level"].is_string(), "{object}");
    }
    let find = |text: &str| {
        objects.iter().find(|o| o["message"].as_str().is_some_and(|m| m.contains(text))).unwrap()
    };
    let failed = find("is empty");
    assert_eq!(
        (&failed["level"], &failed["input"], &failed["message"]),
        (&"error".into(), &"empty.mp3".into(), &"is empty".into())
    );
    assert!(failed["hint"].is_string());
    assert_eq!(find("language english")["level"], "debug");
    assert_eq!(find("chunk 1 from 0:00 to 0:10")["level"], "trace");
    assert_eq!(find("2 inputs: 1 done, 1 failed")["level"], "info");
    assert!(!find("times real time").is_null());
    let progress: Vec<&Value> = objects.iter().filter(|object| object["event"] == "progress").collect();
    let last = progress.last().unwrap();
    assert_eq!((&last["done_seconds"], &last["counts"]["done"]), (&10.0.into(), &1.into()), "{last}");
}

#[test]
fn usage_errors_and_panics_are_json_too() {
    for line in ["--log-format json talk.flac --nope", "talk.flac --log-format=json --device gpu"] {
        let output = run(line);
        assert_eq!(output.status.code(), Some(2));
        let objects = objects(&output);
        assert_eq!((objects.len(), &objects[0]["level"]), (1, &"error".into()), "{objects:?}");
    }
    let (_folder, mut program) = demo("talk.flac --log-format json");
    let output = program.env("TRANSCRIBE_TEST_AT", "panic chunk 1").output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let mut messages = objects(&output).into_iter().map(|object| object["message"].clone());
    assert!(messages.any(|message| message.as_str().unwrap().starts_with("this is a bug")));
}

#[test]
fn log_levels_filter_messages() {
    let lines =
        |line: &str| stderr(&run(&format!("talk.flac empty.mp3 --export srt {line}"))).lines().count();
    let by_level =
        ["error", "warn", "info", "debug", "trace"].map(|level| lines(&format!("--log-level {level}")));
    assert!(by_level.is_sorted(), "{by_level:?}");
    assert_eq!(by_level[0], 2);
    assert!(
        by_level[2] > by_level[1] && by_level[3] > by_level[2] && by_level[4] > by_level[3],
        "{by_level:?}"
    );
    // --quiet takes precedence over the log level.
    assert_eq!(lines("--quiet --log-level debug"), by_level[1]);

    let with_variable = |value: &str, line: &str| {
        let (_folder, mut program) = demo(&format!("talk.flac empty.mp3 --export srt {line}"));
        stderr(&program.env("RUST_LOG", value).output().unwrap()).lines().count()
    };
    assert_eq!(with_variable("hyper=trace,transcribe=error", ""), by_level[0]);
    assert_eq!(with_variable("transcribe=trace", "--log-level error"), by_level[0]);
}

#[test]
fn prints_progress_lines_on_request() {
    let plain = stderr(&run("talk.flac --export srt --progress plain"));
    let lines = plain.lines().filter(|line| line.starts_with("progress: ")).collect::<Vec<_>>();
    assert_eq!(lines.len(), 1, "{plain}");
    assert!(lines[0].contains("0:10 of 0:10 done (100 %)") && lines[0].contains("1 of 1 files"), "{plain}");
    for quiet in ["auto", "bar", "none"] {
        assert_eq!(
            stderr(&run(&format!("talk.flac --export srt --progress {quiet}"))),
            DEMO_WARNING,
            "{quiet}"
        );
    }
    // It does not change the text on stdout.
    assert_eq!(run("talk.flac --progress json").stdout, run("talk.flac").stdout);
}
