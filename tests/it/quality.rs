//! Coverage and confidence in the real program, and the gate on coverage.

use std::path::Path;
use std::process::{Command, Output};

fn transcribe(input: &str, line: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut program = Command::new(env!("CARGO_BIN_EXE_transcribe"));
    program.arg(root.join("fixtures").join(input)).args(["--model", "demo", "--verbose"]).args(line);
    program.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_recording_with_all_its_speech_passes_the_gate() {
    for chunks in ["120", "0"] {
        let output = transcribe(
            "long/short_es.flac",
            &["--language", "es", "--fail-under-coverage", "95", "--chunk-length", chunks],
        );
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains("s transcribed"), "{}", stderr(&output));
        assert!(stderr(&output).contains("confidence 0."), "{}", stderr(&output));
    }
}

/// Every window counts as silence: all speech is reported as missing.
#[test]
fn speech_without_text_fails_the_gate_and_is_still_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let all_silent =
        ["--language", "es", "--no-speech-threshold", "-1", "--logprob-threshold", "0", "--export", "txt"];
    let output = transcribe(
        "long/short_es.flac",
        &[&all_silent[..], &["--fail-under-coverage", "50", "--output-dir", out]].concat(),
    );
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("only 0.0 % of its speech has text, and 50 % were asked for"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("s of speech without text"), "{}", stderr(&output));
    assert!(folder.path().join("short_es.txt").exists());
    let output = transcribe("long/short_es.flac", &["--fail-under-coverage", "101"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn windows_that_failed_at_every_temperature_are_counted() {
    let output = transcribe(
        "long/short_en.flac",
        &["--logprob-threshold", "-0.0001", "--no-speech-threshold", "none"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("windows that failed at every temperature"), "{}", stderr(&output));
}
