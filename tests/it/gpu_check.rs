//! Runs the GPU check on the CPU: its report and its exit code show which parts passed, failed or timed out.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs parts of the check. Returns `None` without Python, which fails the test in CI.
fn check(out: &Path, program: &Path, options: &[&str]) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu/check.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(out).args(["--device", "cpu", "--quick", "--program"]).arg(program).args(options);
    match python.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "python3: {error}");
            eprintln!("SKIPPED: python3: {error}");
            None
        }
        output => Some(output.unwrap()),
    }
}

fn figures(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("figures.json")).unwrap()).unwrap()
}

fn report(out: &Path) -> String {
    std::fs::read_to_string(out.join("report.md")).unwrap()
}

#[test]
fn passes_with_the_real_program() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let program = assert_cmd::cargo::cargo_bin!("transcribe");
    let Some(output) = check(out, program, &["--only", "parity", "memory", "ends", "shortage"]) else {
        return;
    };
    let (figures, report) = (figures(out), report(out));
    assert_eq!(output.status.code(), Some(0), "{report}");
    for part in ["parity", "memory", "ends", "shortage"] {
        assert_eq!(figures["parts"][part]["status"], "passed", "{report}");
    }
    assert_eq!(figures["parts"]["ends"]["figures"]["stopped"]["by"], "SIGINT");
    assert_eq!(figures["goals"]["flat"]["is_met"], Value::Null);
    let chunks = std::fs::read_to_string(out.join("memory.csv")).unwrap();
    assert_eq!(chunks.lines().count(), 1 + 2 * 8, "{chunks}");
    let plot = std::fs::read_to_string(out.join("memory.svg")).unwrap();
    assert_eq!(
        roxmltree::Document::parse(&plot)
            .unwrap()
            .descendants()
            .filter(|n| n.has_tag_name("polyline"))
            .count(),
        2
    );
}

#[test]
fn fails_with_a_broken_program_and_runs_the_other_parts() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("report");
    let program = folder.path().join("program");
    std::fs::write(
        &program,
        "#!/bin/sh\nif [ \"$1\" = bench ]; then exec sleep 60; fi\necho 'error: no' >&2\nexit 1\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let options = ["--only", "parity", "speed", "--seconds", "6"];
    let Some(output) = check(&out, &program, &options) else { return };
    let (figures, report) = (figures(&out), report(&out));
    assert_eq!(output.status.code(), Some(1), "{report}");
    let status = |part: &str| figures["parts"][part]["status"].clone();
    assert_eq!(status("parity"), "FAILED", "{report}");
    assert_eq!(status("speed"), "OUT OF TIME", "{report}");
    assert!(report.contains("error: no"), "{report}");
    assert_eq!(check(&out, &folder.path().join("none"), &[]).unwrap().status.code(), Some(2));
}
