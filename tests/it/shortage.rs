//! Less than a run needs: memory that the system refuses, descriptors, and inputs that are cut off or gone when their turn
//! comes. Every run says what happened, writes an output whole or not at all, and the next one completes the work.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::{Ended, Running, demo, fixture, names, run};

/// Returns the program as a shell starts it after setting a limit.
fn limited(program: &Command, limit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
    shell.arg(program.get_program()).args(program.get_args()).env_clear();
    shell.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// A recording and a folder for its outputs.
struct ShortageFolder(TempDir);

impl ShortageFolder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self(folder)
    }

    fn out(&self) -> PathBuf {
        self.0.path().join("out")
    }

    fn program(&self, model: &Path) -> Command {
        let mut program = demo();
        program.arg(fixture("long/short_en.flac")).arg("--model").arg(model);
        // Arenas of threads take address space by their number.
        program.args(["--export", "txt", "--chunk-length", "4", "--threads", "2", "--output-dir"]);
        program.arg(self.out());
        program
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.out().join("short_en.txt")).ok()
    }
}

/// Returns a folder with the demo model as files.
fn model_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "generation_config.json", "model.safetensors"] {
        symlink(fixture("../models/demo").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Checks a run with too little memory, or just enough; returns its code.
fn check_exhausted(folder: &ShortageFolder, ended: &Ended, whole: &str, megabytes: usize) -> i32 {
    let what = format!("{megabytes} MB: {ended:?}");
    let code = ended.status.code().unwrap_or_else(|| panic!("ended by a signal with {what}"));
    assert!([0, 5].contains(&code), "{what}");
    assert!(!ended.stderr.contains("this is a bug"), "{what}");
    assert!(!ended.stderr.contains("panicked"), "{what}");
    if code == 5 {
        assert!(ended.stderr.contains("error: ") && ended.stderr.contains("hint: "), "{what}");
    }
    match folder.text() {
        Some(text) => assert_eq!(text, whole, "{what}"),
        None => assert_eq!(code, 5, "{what}"),
    }
    code
}

#[test]
fn memory_that_the_system_refuses_ends_with_5() {
    let model = model_folder();
    let folder = ShortageFolder::new();
    let ended = run(folder.program(model.path()));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let whole = folder.text().unwrap();
    let mut codes = Vec::new();
    // From where the program can be loaded at all to where the model fits.
    for megabytes in (200..=600).step_by(40).chain([2000]) {
        let folder = ShortageFolder::new();
        let limit = format!("-v {}", megabytes << 10);
        let ended = run(limited(&folder.program(model.path()), &limit));
        codes.push(check_exhausted(&folder, &ended, &whole, megabytes));
        let again = run(folder.program(model.path()));
        assert_eq!(again.status.code(), Some(0), "after {megabytes} MB: {again:?}");
        assert_eq!(folder.text().as_ref(), Some(&whole), "after {megabytes} MB");
        assert_eq!(names(&folder.out()), ["short_en.txt"], "after {megabytes} MB");
    }
    assert!(codes.contains(&5) && codes.ends_with(&[0]), "{codes:?}");
}

#[test]
fn too_few_descriptors_fail_inputs_and_spoil_nothing() {
    let model = model_folder();
    let folder = ShortageFolder::new();
    assert_eq!(run(folder.program(model.path())).status.code(), Some(0));
    let whole = folder.text().unwrap();
    let mut codes = Vec::new();
    for descriptors in (4..=16).step_by(2).chain([64]) {
        let folder = ShortageFolder::new();
        let ended = run(limited(&folder.program(model.path()), &format!("-n {descriptors}")));
        let what = format!("{descriptors} descriptors: {ended:?}");
        let code = ended.status.code().unwrap_or_else(|| panic!("ended by a signal with {what}"));
        // Which file it is that cannot be opened decides.
        assert!([0, 1, 2, 3, 6].contains(&code), "{what}");
        assert!(!ended.stderr.contains("this is a bug"), "{what}");
        assert!(!ended.stderr.contains("panicked"), "{what}");
        assert!(code == 0 || ended.stderr.contains("error: "), "{what}");
        assert!(folder.text().is_none_or(|text| text == whole), "{what}");
        codes.push(code);
        let again = run(folder.program(model.path()));
        assert_eq!(again.status.code(), Some(0), "after {what}: {again:?}");
        assert_eq!(folder.text().as_ref(), Some(&whole), "after {what}");
    }
    assert!(codes[0] != 0 && codes.ends_with(&[0]), "{codes:?}");
}

/// Stops a run of three inputs before the first is decoded, does something to the second, and lets it go on.
fn run_while(change: impl FnOnce(&Path)) -> (TempDir, Ended) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("a.flac");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let inputs = ["b.flac", "c.flac"].map(|name| folder.path().join(name));
    for input in &inputs {
        fs::copy(fixture("long/short_en.flac"), input).unwrap();
    }
    let mut program = demo();
    program.arg(&pipe).args(&inputs).args(["--jobs", "1", "--export", "txt", "--output-dir"]);
    program.arg(folder.path().join("out"));
    let running = Running::start(program);
    // Opening waits until the program reads: everything is planned by then, and the second input is not open yet.
    let mut audio = File::options().write(true).open(&pipe).unwrap();
    change(&inputs[0]);
    std::io::Write::write_all(&mut audio, &fs::read(fixture("long/short_es.flac")).unwrap()).unwrap();
    drop(audio);
    (folder, running.end())
}

#[test]
fn an_input_that_changes_before_its_turn_fails_alone_or_is_read_as_it_is() {
    let (folder, ended) = run_while(|input| fs::remove_file(input).unwrap());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.stderr.contains("b.flac`: ") && ended.stderr.contains("check the path"), "{ended:?}");
    assert_eq!(names(&folder.path().join("out")), ["a.txt", "c.txt"]);
    let cut =
        |to: u64| move |input: &Path| File::options().write(true).open(input).unwrap().set_len(to).unwrap();
    let (folder, ended) = run_while(cut(0));
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(names(&folder.path().join("out")), ["a.txt", "c.txt"]);
    let (folder, ended) = run_while(cut(30_000));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.contains("b.flac"), "{ended:?}");
    assert_eq!(names(&folder.path().join("out")), ["a.txt", "b.txt", "c.txt"]);
    let (folder, ended) = run_while(|input| {
        fs::remove_file(input).unwrap();
        fs::create_dir(input).unwrap();
    });
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(names(&folder.path().join("out")), ["a.txt", "c.txt"]);
}
