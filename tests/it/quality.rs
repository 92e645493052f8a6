//! The account of quality, and the gate on it, on the real program.

use std::path::Path;
use std::process::{Command, Output};

fn transcribe(input: &str, line: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_transcribe"));
    program.arg(root.join("fixtures").join(input)).args(["--model", "demo", "--verbose"]).args(line);
    program.output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_recording_that_is_understood_passes() {
    for chunks in ["120", "0"] {
        let output = transcribe(
            "long/short_es.flac",
            &["--language", "es", "--fail-under-coverage", "95", "--chunk-length", chunks],
        );
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        assert!(told(&output).contains("s transcribed"), "{}", told(&output));
        assert!(told(&output).contains("confidence 0."), "{}", told(&output));
    }
}

/// Every window counts as silence: all that is spoken is missing, and it is said.
#[test]
fn speech_without_text_fails_the_gate_and_is_written_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let deaf =
        ["--language", "es", "--no-speech-threshold", "-1", "--logprob-threshold", "0", "--export", "txt"];
    let output = transcribe(
        "long/short_es.flac",
        &[&deaf[..], &["--fail-under-coverage", "50", "--output-dir", out]].concat(),
    );
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(
        told(&output).contains("only 0.0 % of its speech has text, and 50 % were asked for"),
        "{}",
        told(&output)
    );
    assert!(told(&output).contains("s spoken without text"), "{}", told(&output));
    assert!(folder.path().join("short_es.txt").exists());
    let output = transcribe("long/short_es.flac", &["--fail-under-coverage", "101"]);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
}

/// Attempts that fail and the rule in the end are told.
#[test]
fn windows_that_never_met_the_thresholds_are_counted() {
    let output = transcribe(
        "long/short_en.flac",
        &["--logprob-threshold", "-0.0001", "--no-speech-threshold", "none"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(
        told(&output).contains("half minutes that met the thresholds at no temperature"),
        "{}",
        told(&output)
    );
}
