//! The program from the outside: what it prints and writes, and its exit codes.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};
use tempfile::TempDir;
use transcribe::export::Format;

use crate::program::{DEMO_WARNING, bare};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// Ten seconds of speech that the demo model transcribes.
fn speech() -> PathBuf {
    fixture("long/short_en.flac")
}

fn program() -> Command {
    Command::from_std(bare())
}

fn demo() -> Command {
    let mut program = program();
    program.env("TRANSCRIBE_MODEL", "demo");
    program
}

/// Makes a folder with a copy of the speech.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let talk = folder.path().join("talk.flac");
    std::fs::copy(speech(), &talk).unwrap();
    (folder, talk)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all export formats.
fn formats() -> Vec<&'static str> {
    Format::ALL.map(Format::name).to_vec()
}

#[test]
fn help_shows_usage_examples_and_exit_codes() {
    let all = contains("Usage: transcribe")
        .and(contains("Examples:"))
        .and(contains("--export srt"))
        .and(contains("130  interrupted"))
        .and(contains("TRANSCRIBE_OUTPUT_DIR"));
    program().arg("--help").assert().code(0).stdout(all).stderr(is_empty());
    let brief = program().arg("-h").assert().code(0).stderr(is_empty());
    let brief = String::from_utf8(brief.get_output().stdout.clone()).unwrap();
    assert!(brief.lines().count() <= 40 && brief.lines().all(|line| line.len() <= 80), "{brief}");
    assert_eq!(brief.matches("\n  transcribe ").count(), 3, "{brief}");
    program().args(["score", "-h"]).assert().code(0).stdout(contains("--max-wer"));
    program().assert().code(2).stdout(is_empty()).stderr(brief);
    program().args(["bench", "--help"]).assert().code(0).stdout(contains("--random <SIZE>"));
    let version = starts_with("transcribe ").and(contains("(cpu"));
    program().arg("--version").assert().code(0).stdout(version).stderr(is_empty());
}

#[test]
fn usage_errors_exit_with_2() {
    let talk = speech();
    let rejects = |line: &[&str], expected: &str| {
        let assert = demo().arg(&talk).args(line).assert();
        assert.code(2).stdout(is_empty()).stderr(contains(expected).and(starts_with("error: ")));
    };
    program().assert().code(2).stdout(is_empty()).stderr(contains("Usage: transcribe"));
    rejects(&["--exprot", "srt"], "--export");
    rejects(&["--language", "germna"], "german");
    rejects(&["--export", "doc"], &format!("hint: use {} or all", formats().join(", ")));
    rejects(&["--device", "gpu"], "auto, cpu, cuda, cuda:N, cuda:all, metal");
    rejects(&["--task", "translation"], "translate");
    rejects(&["--output-dir", "out"], "hint: choose the formats");
    rejects(&["--subtitles", "nice"], "must be one of readable, netflix, bbc, social, openai");
    rejects(&["--json-style", "xml"], "must be one of full, openai, whisper-cpp, whisperx, hf");
    rejects(&["--highlight-words"], "`--highlight-words`: needs `--word-timestamps`");
    rejects(&["--max-line-width", "30"], "`--max-line-width`: needs `--word-timestamps`");
    rejects(&["--max-line-count", "0"], "--max-line-count");
    rejects(&["--max-cue-duration", "0.5"], "no less than `--min-cue-duration`");
    rejects(&["--max-reading-speed", "0"], "between 1 and 1000");
    rejects(&["--temperature", "-1"], "temperature");
    rejects(&["--best-of", "0"], "best of");
    rejects(&["--chunk-length", "0.5"], "hint: 0 processes each recording as a whole");
    rejects(&["--batch-size", "0"], "must be `auto` or a number");
    rejects(&["--jobs", "many"], "must be `auto` or a number");
    rejects(&["--suppress-tokens", "x"], "not a token id");
    rejects(&["--revision", "../x", "--model", "tiny"], "not a valid name of a branch, tag or commit");
    rejects(&["--quiet", "--verbose"], "cannot be used with");
}

#[test]
fn invalid_inputs_are_reported_before_the_model_is_loaded() {
    let (folder, talk) = folder();
    // This model would exit with 3.
    let mut program = program();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    program.args(["--model", "tiny"]).arg("none.mp3").arg(&empty).arg(talk.join("x"));
    program.assert().code(2).stdout(is_empty()).stderr(
        contains("error: `none.mp3`: there is no such file\nhint: check the path")
            .and(contains("a folder without recordings\nhint: ")),
    );
}

#[test]
fn two_inputs_must_not_write_the_same_file() {
    let (folder, talk) = folder();
    let other = folder.path().join("talk.mp3");
    std::fs::copy(&talk, &other).unwrap();
    let expected = contains("talk.srt`: would be written for both")
        .and(contains("hint: "))
        .and(contains("--output-dir"));
    let template = ["--export", "srt", "--output-template", "{stem}.{ext}"];
    demo().args([&talk, &other]).args(template).assert().code(2).stderr(expected);
    assert!(!folder.path().join("talk.srt").exists());
}

#[test]
fn a_bad_file_does_not_stop_the_others() {
    let (folder, talk) = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("empty.mp3"), b"").unwrap();
    std::fs::write(at("notes.mp3"), "these are only words\n".repeat(100)).unwrap();
    let mut program = demo();
    program.args([at("empty.mp3"), at("notes.mp3"), talk]).args(["--export", "txt"]);
    program.assert().code(1).stdout(is_empty()).stderr(contains("empty.mp3`: is empty\nhint: ").and(
        contains("notes.mp3`: not an audio or video file in a supported format\nhint: supported: wav, mp3"),
    ));
    assert!(!read(&at("talk.txt")).is_empty());
    assert!(!at("empty.txt").exists() && !at("notes.txt").exists());
}

#[test]
fn missing_tracks_and_channels_are_reported() {
    let track = contains("has no audio track 3; it has 1\nhint: `--audio-track` counts from 0");
    demo().arg(speech()).args(["--audio-track", "3"]).assert().code(1).stderr(track);
    let channel = contains("has no channel 7; it has 1\nhint: `--channel` counts from 0");
    demo().arg(speech()).args(["--channel", "7"]).assert().code(1).stderr(channel);
}

#[test]
fn invalid_models_exit_with_3() {
    let (folder, talk) = folder();
    let here = folder.path().to_str().unwrap();
    let model = |name: &str| program().arg(&talk).args(["--model", name]).assert().code(3).stdout(is_empty());
    model("large-v4")
        .stderr(contains("did you mean").and(contains("`large-v3`")).and(contains("demo").not()));
    model("./no/such").stderr(contains("no such file or folder"));
    model(here).stderr(contains("`config.json` is missing\nhint: "));
    model(talk.to_str().unwrap()).stderr(contains("in none of the formats that are read"));

    let config = r#"{"model_type": "bert"}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    for file in ["tokenizer.json", "model.safetensors"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(file);
        std::fs::copy(from, folder.path().join(file)).unwrap();
    }
    model(here).stderr(contains("not a Whisper checkpoint"));
}

#[test]
fn the_demo_folder_equals_the_built_in_demo() {
    let demo_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let built_in = demo().arg(speech()).assert().code(0).get_output().stdout.clone();
    let folder =
        program().arg(speech()).arg("--model").arg(demo_folder).assert().code(0).get_output().stdout.clone();
    assert!(!built_in.is_empty());
    assert_eq!(built_in, folder);
}

#[test]
fn unavailable_devices_exit_with_4() {
    let metal = demo().arg(speech()).args(["--device", "metal"]).assert();
    if !cfg!(feature = "metal") {
        metal.code(4).stderr(contains("device `metal`").and(contains("--device cpu")));
    }
    let cuda = demo().arg(speech()).args(["--device", "cuda:99"]).assert();
    cuda.code(4).stdout(is_empty()).stderr(contains("device `cuda:99`"));
}

#[test]
fn the_cpu_computes_in_every_format() {
    let all = ["auto", "f32", "f16", "bf16", "int8"].map(|numbers| {
        let line = ["--device", "cpu", "--dtype", numbers];
        demo().arg(speech()).args(line).assert().code(0).get_output().stdout.clone()
    });
    assert!(all.iter().all(|text| !text.is_empty()) && all[0] == all[1]);
}

#[test]
fn unwritable_outputs_exit_with_6_before_the_work() {
    let (folder, talk) = folder();
    let out = folder.path().join("talk.flac/out");
    // This model would exit with 3.
    let mut program = program();
    program.args(["--model", "tiny", "--export", "srt"]).arg(&talk).arg("--output-dir").arg(&out);
    program.assert().code(6).stderr(contains("cannot be written").and(contains("hint: check the folder")));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_stdout_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = bare().arg(speech()).args(["--model", "demo"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn stdout_contains_only_the_text() {
    let (folder, talk) = folder();
    let plain = demo().arg(&talk).assert().code(0).stderr(DEMO_WARNING);
    let text = String::from_utf8(plain.get_output().stdout.clone()).unwrap();
    assert!(
        text.lines().count() > 1 && text.lines().all(|line| line == line.trim() && !line.is_empty()),
        "{text}"
    );

    // The log level does not change it.
    let verbose = demo().arg(&talk).arg("--verbose").assert().code(0).stdout(text.clone());
    verbose.stderr(contains("model demo@").and(contains("language english")).and(contains("of audio in")));
    demo().arg(&talk).arg("--quiet").assert().code(0).stdout(text.clone()).stderr(DEMO_WARNING);

    // With output files nothing is printed.
    demo().arg(&talk).args(["--export", "txt"]).assert().code(0).stdout(is_empty()).stderr(DEMO_WARNING);
    assert_eq!(read(&folder.path().join("talk.txt")), text);
}

#[test]
fn reads_from_standard_input() {
    let (folder, talk) = folder();
    let bytes = std::fs::read(&talk).unwrap();
    let from_file = demo().arg(&talk).assert().code(0).get_output().stdout.clone();
    demo().arg("-").write_stdin(bytes.clone()).assert().code(0).stdout(from_file);
    let mut program = demo();
    program.current_dir(folder.path()).arg("-").args(["--export", "srt"]).write_stdin(bytes);
    program.assert().code(0).stdout(is_empty());
    assert!(read(&folder.path().join("stdin.srt")).starts_with("1\n00:00:0"));
    demo().arg("-").write_stdin("").assert().code(1).stderr(contains("error: `-`: is empty"));
    demo().args(["-", "-"]).assert().code(2).stderr(contains("only once"));
}

#[test]
fn skips_finished_inputs_unless_overwriting() {
    let (folder, talk) = folder();
    let out = folder.path().join("out");
    let run = |extra: &[&str]| {
        let mut program = demo();
        program.arg(&talk).args(["--export", "all", "--output-dir"]).arg(&out).args(extra);
        program.assert().code(0).stdout(is_empty())
    };
    run(&[]);
    let content = |name: &str| read(&out.join(format!("talk.{name}")));
    let names = formats();
    assert!(names.iter().all(|name| !content(name).is_empty()));
    assert_eq!(crate::program::names(&out).len(), names.len());
    let (srt, vtt) = (content("srt"), content("vtt"));

    std::fs::write(out.join("talk.srt"), "edited by hand").unwrap();
    std::fs::remove_file(out.join("talk.vtt")).unwrap();
    run(&[]);
    assert_eq!(content("srt"), "edited by hand");
    assert_eq!(content("vtt"), vtt);

    run(&[]).stderr(contains("talk.srt` is kept: it was edited after it was written"));
    std::fs::write(out.join("talk.srt"), &srt).unwrap();
    run(&[]).stderr(contains("talk.flac`: already done; `--overwrite` does it again"));
    run(&["--quiet"]).stderr(is_empty());
    run(&["--overwrite"]);
    assert_eq!(content("srt"), srt);
}

#[test]
fn the_same_command_writes_the_same_bytes() {
    let json = |threads: &str| {
        let (folder, talk) = folder();
        let mut program = demo();
        program.arg(talk).args([
            "--export",
            "json",
            "--threads",
            threads,
            "--temperature",
            "0.7",
            "--seed",
            "7",
        ]);
        program.assert().code(0);
        read(&folder.path().join("talk.json"))
    };
    assert_eq!(json("1"), json("3"));
}

/// Starts a program and waits for its first line on stdout; much more follows.
fn start_printing() -> (Child, BufReader<std::process::ChildStdout>) {
    let mut program = bare();
    program
        .arg(fixture("long/long_en.flac"))
        .args(["--model", "demo"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let mut text = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    text.read_line(&mut line).unwrap();
    assert!(!line.trim().is_empty());
    (child, text)
}

#[test]
fn a_closed_pipe_is_success() {
    let (child, text) = start_printing();
    drop(text);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), DEMO_WARNING);
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
#[cfg(unix)]
fn a_signal_stops_the_run_and_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;

    for (name, number) in [("INT", 2), ("TERM", 15)] {
        let (mut child, mut text) = start_printing();
        signal(&child, name);
        let mut rest = String::new();
        text.read_to_string(&mut rest).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(number), "{name}: {status}");
        let all = read(&fixture("reference/long_en.json"));
        assert!(rest.len() < all.len() / 20, "{name} did not stop the run");
    }
}

#[test]
fn bench_does_the_same_work_in_every_window() {
    let line =
        ["bench", "--seconds", "70", "--tokens", "5", "--chunk-length", "30", "--batch-size", "2", "--json"];
    let bench = demo().args(line).args(["--device", "cpu"]).assert().code(0).stderr(is_empty());
    let output = bench.get_output().stdout.clone();
    let figures: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(figures["tokens"], figures["windows"].as_u64().unwrap() * 5);
    assert_eq!((figures["batch_size"].as_u64(), figures["audio_seconds"].as_f64()), (Some(2), Some(70.0)));
    let speed = figures["times_real_time"].as_f64().unwrap();
    assert!((speed * figures["seconds"].as_f64().unwrap() - 70.0).abs() < 1e-6);

    let table = contains("times real time").and(contains("ms a window")).and(contains("% occupied"));
    let random = ["bench", "--seconds", "10", "--tokens", "2", "--random", "tiny"];
    demo().args(random).arg(speech()).assert().code(0).stdout(table);
    demo().args(["bench", "--random", "huge"]).assert().code(2).stderr(contains("hint: choose one of tiny"));
    demo().args(["bench", "--seconds", "1e9"]).assert().code(2).stderr(contains("36000"));
}

#[test]
fn stats_show_where_the_time_went() {
    let stats = contains("times real time").and(contains("slot occupancy")).and(contains("waited for audio"));
    demo().arg(speech()).arg("--stats").assert().code(0).stderr(stats);
}
