//! Inputs decoded side by side have the same text in the same order as one after the other.

use std::path::PathBuf;

use crate::program::{bare, fixture};

fn text(inputs: &[PathBuf], options: &[&str]) -> String {
    let output = bare().args(["--model", "demo"]).args(inputs).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn text_is_printed_in_the_order_of_the_inputs() {
    let inputs = ["long/long_en.flac", "long/short_es.flac", "long/long_de.flac", "long/short_en.flac"];
    let inputs: Vec<PathBuf> = inputs.into_iter().map(fixture).collect();
    let alone: Vec<String> = inputs.iter().map(|input| text(std::slice::from_ref(input), &[])).collect();
    assert!(alone.iter().all(|text| !text.trim().is_empty()));
    // The short inputs are done long before the first one.
    assert_eq!(text(&inputs, &[]), alone.concat());
    assert_eq!(text(&inputs, &["--jobs", "2", "--batch-size", "2"]), alone.concat());
    // With several chunks each.
    let short = ["--chunk-length", "6"];
    let alone: Vec<String> = inputs.iter().map(|input| text(std::slice::from_ref(input), &short)).collect();
    assert_eq!(text(&inputs, &short), alone.concat());
}

#[test]
fn several_devices_share_one_recording_without_changing_its_text() {
    let inputs = [fixture("long/long_de.flac"), fixture("long/short_es.flac")];
    let options = ["--chunk-length", "6", "--batch-size", "2"];
    let alone = text(&inputs, &options);
    assert!(alone.lines().count() > 10);
    for language in [&[][..], &["--language", "de"]] {
        let alone = text(&inputs, &[&options[..], language].concat());
        let shared = text(&inputs, &[&options[..], language, &["--device", "cpu,cpu,cpu"]].concat());
        assert_eq!(shared, alone);
    }
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut program = bare();
    program.args([
        "--model",
        "demo",
        "--device",
        "cpu,cpu",
        "--batch-size",
        "1",
        "--chunk-length",
        "6",
        "--stats",
    ]);
    program.arg("--report").arg(report.path()).arg(&inputs[0]);
    let output = program.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = std::fs::read_to_string(report.path()).unwrap();
    assert!(lines.contains("\"device\":\"cpu,cpu\""), "{lines}");
    // The figures of both engines together.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("slot occupancy"), "{said}");
}

#[test]
fn several_devices_must_be_of_one_kind() {
    let output = bare().args(["talk.mp3", "--device", "cpu,cuda:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("must be of one kind"), "{output:?}");
}
