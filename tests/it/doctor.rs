//! `transcribe doctor`: its findings and exit codes.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::Value;

use crate::program::bare;

fn doctor(line: &[&str]) -> Command {
    let mut program = Command::from_std(bare());
    program.arg("doctor").args(line);
    program
}

#[test]
fn reports_a_healthy_machine() {
    let healthy = contains("cpu: passed, 10 s of speech in ")
        .and(contains("memory"))
        .and(contains("of disk space free"))
        .and(contains("no file; the default path is `/nonexistent/transcribe/transcribe.toml`"))
        .and(contains("only the built-in demo"))
        .and(predicate::str::ends_with("\nall is well\n"));
    // Options in the environment apply to recordings, not to the self-test.
    doctor(&[]).env("TRANSCRIBE_LANGUAGE", "de").assert().code(0).stderr(is_empty()).stdout(healthy);

    let output = doctor(&["--json", "--device", "cpu"]).assert().code(0).stderr(is_empty());
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let test = &report["tests"][0];
    assert_eq!((&test["device"], &test["passed"]), (&"cpu".into(), &true.into()));
    assert!(test["seconds"].as_f64().unwrap() > 0.0 && test["load_seconds"].as_f64().unwrap() > 0.0);
    assert!(report["processor"]["threads"].as_u64().unwrap() > 0);
    assert!(report["memory"]["total"].as_u64() > report["memory"]["free"].as_u64());
    assert_eq!(report["models"]["cache"], "/nonexistent/hub");
    assert_eq!((&report["hub"]["has_token"], &report["config"]["is_used"]), (&false.into(), &false.into()));
    let kinds: Vec<&str> =
        report["accelerators"].as_array().unwrap().iter().map(|a| a["device"].as_str().unwrap()).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
}

#[test]
fn a_self_test_that_cannot_run_has_failed() {
    let failed = contains("cpu: FAILED: `/nonexistent/tmp` cannot be written")
        .and(contains("the self-test failed on cpu"));
    doctor(&[]).env("TMPDIR", "/nonexistent/tmp").assert().code(1).stdout(failed);
}

#[test]
fn a_requested_device_must_exist() {
    let missing = doctor(&["--device", "cuda:99"]).assert().code(4);
    missing.stdout(contains("nothing was tested")).stderr(contains("error: device `cuda:99`"));
}

#[test]
fn an_invalid_configuration_file_is_a_finding() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("transcribe")).unwrap();
    let file = home.path().join("transcribe/transcribe.toml");
    std::fs::write(&file, "modle = \"demo\"\n").unwrap();
    let wrong =
        contains("INVALID: ").and(contains("line 1: `modle`: unknown option")).and(contains("cpu: passed"));
    doctor(&[]).env("XDG_CONFIG_HOME", home.path()).assert().code(2).stdout(wrong);
    std::fs::write(&file, "language = \"de\"\n").unwrap();
    let right = contains(format!("from `{}`", file.display())).and(contains("all is well"));
    doctor(&[]).env("XDG_CONFIG_HOME", home.path()).assert().code(0).stdout(right);
}
