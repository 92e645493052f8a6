//! Every system call on the files of a small run fails once, each in another run: no file is half-written, the exit code says
//! what happened, and the next run ends with the same bytes.
//!
//! Ignored by default: it needs a C compiler for the library that is preloaded, and runs the program a few hundred times.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ended, LEDGER, Running, demo, fixture, names, run};

/// Content by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A run with a journal, a ledger and outputs.
struct FaultFolder {
    folder: TempDir,
    shim: PathBuf,
}

impl FaultFolder {
    fn new(shim: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder, shim: shim.to_owned() }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn program(&self) -> Command {
        let mut program = demo();
        program.arg(fixture("long/short_en.flac")).args(["--export", "txt,json", "--chunk-length", "4"]);
        program.args(["--threads", "2", "--output-dir"]).arg(self.out().join("below"));
        program
    }

    /// Runs it with a fault in this call; returns what failed, if there are so many calls.
    fn run_with_fault(&self, at: usize, kind: usize) -> (Ended, Option<String>) {
        let log = self.folder.path().join("log");
        let mut program = self.program();
        program.env("LD_PRELOAD", &self.shim).env("FAULT_FOLDER", self.out()).env("FAULT_LOG", &log);
        program.env("FAULT_AT", at.to_string()).env("FAULT_KIND", kind.to_string());
        (run(program), fs::read_to_string(log).ok())
    }

    fn outputs(&self) -> Files {
        let below = self.out().join("below");
        if !below.is_dir() {
            return Files::new();
        }
        let is_output = |name: &String| !name.starts_with('.');
        let read = |name: String| (name.clone(), fs::read(below.join(name)).unwrap());
        names(&below).into_iter().filter(is_output).map(read).collect()
    }
}

/// Compiles a library that changes what calls do.
fn shim(folder: &Path, name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults").join(name).with_extension("c");
    let library = folder.join(name).with_extension("so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().expect("a C compiler").success());
    library
}

/// Checks what a run with a fault has left, and that the next one completes it.
fn check(folder: &FaultFolder, ended: &Ended, what: &str, whole: &Files) {
    let code = ended.status.code();
    assert!([Some(0), Some(1), Some(6)].contains(&code), "{what}: {ended:?}");
    assert!(!ended.stderr.contains("this is a bug"), "{what}: {ended:?}");
    let outputs = folder.outputs();
    for (name, content) in &outputs {
        assert_eq!(Some(content), whole.get(name), "{what}: {name}");
    }
    // Without an error everything is there.
    assert!(code != Some(0) || outputs == *whole, "{what}: {ended:?}");
    assert!(code == Some(0) || ended.stderr.contains("hint: "), "{what}: {ended:?}");
    let again = run(folder.program());
    assert_eq!(again.status.code(), Some(0), "after {what}: {again:?}");
    assert!(folder.outputs() == *whole, "after {what}");
    let below = folder.out().join("below");
    let left: Vec<String> = names(&below).into_iter().filter(|name| name.starts_with('.')).collect();
    let is_expected = |name: &String| name == LEDGER || what.starts_with("unlink");
    assert!(left.iter().all(is_expected), "after {what}: {left:?}");
}

#[test]
#[ignore = "needs a C compiler, and takes minutes"]
fn every_call_may_fail() {
    let tools = tempfile::tempdir().unwrap();
    let shim = shim(tools.path(), "shim");
    let whole = {
        let folder = FaultFolder::new(&shim);
        assert_eq!(run(folder.program()).status.code(), Some(0));
        folder.outputs()
    };
    assert_eq!(whole.len(), 2);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for at in 1.. {
        let mut is_over = true;
        // So that every error of every kind of call has its turn.
        for kind in [at, at + 1] {
            let folder = FaultFolder::new(&shim);
            let (ended, failed) = folder.run_with_fault(at, kind);
            let Some(what) = failed else { continue };
            is_over = false;
            *seen.entry(what.trim().to_owned()).or_default() += 1;
            check(&folder, &ended, &format!("{} in call {at}", what.trim()), &whole);
        }
        if is_over {
            assert!(at > 20, "only {at} calls");
            break;
        }
    }
    println!("{seen:#?}");
    for call in ["open64", "read", "write", "fsync", "fdatasync", "rename", "unlink", "mkdir"] {
        assert!(seen.keys().any(|what| what.starts_with(call)), "no {call} among {seen:?}");
    }
}

/// Runs it with a clock that goes back, or ahead, with every look at it; stops it once, and resumes.
fn run_with_clock(folder: &FaultFolder, step: &str) -> [Ended; 2] {
    let program = || {
        let mut program = folder.program();
        program.env("LD_PRELOAD", &folder.shim).env("CLOCK_STEP", step);
        program.args(["--report"]).arg(folder.folder.path().join("report.jsonl"));
        program.args(["--metrics-file"]).arg(folder.folder.path().join("metrics.prom"));
        program
    };
    let mut running = Running::start_until(program(), "stop encode 2");
    assert!(running.wait_for("test hook: "));
    running.signal("TERM");
    [running.end(), run(program())]
}

#[test]
#[ignore = "needs a C compiler"]
fn a_clock_that_is_set_changes_no_text_and_loses_no_work() {
    let tools = tempfile::tempdir().unwrap();
    let shim = shim(tools.path(), "clock");
    let whole = {
        let folder = FaultFolder::new(&shim);
        assert_eq!(run(folder.program()).status.code(), Some(0));
        folder.outputs()
    };
    // An hour back, a day ahead, and back beyond the beginning of the clock.
    for step in ["3600", "-86400", "2000000000"] {
        let folder = FaultFolder::new(&shim);
        let [stopped, resumed] = run_with_clock(&folder, step);
        assert!(
            !stopped.stderr.contains("panicked") && !resumed.stderr.contains("panicked"),
            "{step}: {stopped:?} {resumed:?}"
        );
        assert_eq!(resumed.status.code(), Some(0), "{step}: {resumed:?}");
        assert!(resumed.stderr.contains("resuming where"), "{step}: {resumed:?}");
        assert!(folder.outputs() == whole, "{step}");
        let report = fs::read_to_string(folder.folder.path().join("report.jsonl")).unwrap();
        let elapsed = report.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["elapsed"].as_f64().unwrap()
        });
        assert!(elapsed.is_sorted(), "{step}: {report}");
        // Everything is up to date, whatever the clock says.
        let again = run(folder.program());
        assert_eq!(again.status.code(), Some(0), "{step}: {again:?}");
        assert!(again.stderr.contains("already done"), "{step}: {again:?}");
    }
}
