//! An output on standard output: `--export srt --output-dir -`.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::inputs::Tree;
use crate::program::{DEMO_WARNING, Running, fixture, names};

/// A folder with a recording, and the subtitles that a run writes of it.
fn talk() -> (Tree, Vec<u8>) {
    let tree = Tree::new(&[]);
    fs::copy(fixture("long/short_en.flac"), tree.at("talk.flac")).unwrap();
    let output = tree.run(&["talk.flac", "--export", "srt,json", "--output-dir", "out"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let srt = fs::read(tree.at("out/talk.srt")).unwrap();
    (tree, srt)
}

#[test]
fn prints_what_it_would_write() {
    let (tree, srt) = talk();
    let line = ["talk.flac", "-e", "srt", "-o", "-"];
    // It is never up to date.
    for _ in 0..2 {
        let output = tree.run(&line);
        assert_eq!((output.status.code(), &output.stdout), (Some(0), &srt), "{output:?}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), DEMO_WARNING);
    }
    let piped = tree
        .program(&["-", "-e", "srt", "-o", "-"])
        .stdin(fs::File::open(tree.at("talk.flac")).unwrap())
        .output();
    assert_eq!(piped.unwrap().stdout, srt);
    let converted = tree.run(&["export", "out/talk.json", "-e", "srt", "-o", "-"]);
    assert_eq!((converted.stdout, converted.stderr), (srt, Vec::new()));
    assert_eq!(names(&tree.at("")), ["out", "talk.flac"]);
    let plan = tree.run(&[&line[..], &["--dry-run"]].concat());
    assert!(String::from_utf8(plan.stdout).unwrap().contains("srt on standard output"));
}

#[test]
fn several_outputs_must_be_told_apart() {
    let (tree, _) = talk();
    fs::copy(fixture("long/short_es.flac"), tree.at("short.flac")).unwrap();
    let both = ["short.flac", "talk.flac"];
    let refused = |line: &[&str]| tree.refused(&[&both[..], line, &["-o", "-"]].concat());
    assert!(refused(&["-e", "srt,vtt"]).contains("`--output-dir -`: standard output takes a single format"));
    assert!(
        refused(&["-e", "srt"]).contains("several inputs cannot be told apart on standard output as srt")
    );
    assert!(refused(&[]).contains("`--output-dir`: has no effect without `--export`"));
    assert!(
        refused(&["-e", "srt", "--output-template", "x"]).contains("cannot be used with `--output-dir -`")
    );
    assert!(tree.refused(&["watch", "out", "-e", "srt", "-o", "-"]).contains("cannot be used with `watch`"));
    let output = tree.run(&[&both[..], &["-e", "json", "-o", "-"]].concat());
    let sources: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["source"].clone())
        .collect();
    assert_eq!(sources, both);
}

#[test]
fn text_has_its_times_if_they_are_wanted() {
    let (tree, _) = talk();
    let text = |line: &[&str]| {
        let output = tree.run(&[&["talk.flac"], line].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    let timed = "[00:00.660 --> 00:01.380] One three.\n";
    assert!(text(&["--timestamps"]).starts_with(timed), "{}", text(&["--timestamps"]));
    assert!(text(&[]).starts_with("One three.\n"));
    fs::write(tree.at("c.toml"), "timestamps = true\n").unwrap();
    assert!(text(&["--config", "c.toml"]).starts_with(timed));
    assert!(text(&["--config", "c.toml", "--no-timestamps"]).starts_with("One three.\n"));
}

#[test]
fn a_closed_pipe_is_success() {
    let (tree, _) = talk();
    let mut program = tree.program(&["talk.flac", "-e", "srt", "-o", "-"]);
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), DEMO_WARNING);
}

#[test]
#[cfg(unix)]
fn a_stopped_run_prints_and_leaves_nothing() {
    let (tree, _) = talk();
    let mut running =
        Running::start_until(tree.program(&["talk.flac", "-e", "srt", "-o", "-"]), "stop chunk 1");
    assert!(running.wait_for("test hook: chunk"));
    running.signal("INT");
    running.end();
    assert_eq!(names(&tree.at("")), ["out", "talk.flac"]);
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut program: Command = tree.program(&["talk.flac", "-e", "srt", "-o", "-"]);
    assert_eq!(program.stdout(full).status().unwrap().code(), Some(6));
}
