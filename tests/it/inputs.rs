//! Inputs by folder, pattern, list and manifest.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::program::{bare, fixture};

/// A folder with recordings of one second and text files.
pub struct Tree(TempDir);

impl Tree {
    pub fn new(files: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        let talk = fs::read(fixture("audio/s16-16k-mono.wav")).unwrap();
        for file in files {
            let path = tree.at(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, if file.ends_with(".md") { b"# words" } else { &talk[..] }).unwrap();
        }
        tree
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn program(&self, line: &[&str]) -> Command {
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo").args(line).current_dir(self.0.path());
        program
    }

    pub fn run(&self, line: &[&str]) -> Output {
        self.program(line).output().unwrap()
    }

    /// Returns the messages of a run that must end with exit code 2.
    pub fn refused(&self, line: &[&str]) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }

    /// Returns the outputs of a run and removes them.
    pub fn written(&self, line: &[&str], format: &str) -> Vec<String> {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(0), "{line:?}: {output:?}");
        let mut found = Vec::new();
        collect(self.0.path(), Path::new(""), format, &mut found);
        found.iter().for_each(|path| fs::remove_file(self.at(path)).unwrap());
        found.sort();
        found
    }
}

fn collect(folder: &Path, below: &Path, format: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let below = below.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), &below, format, found),
            false if below.extension().is_some_and(|e| e == format) => {
                found.push(below.display().to_string())
            }
            false => {}
        }
    }
}

#[test]
fn folders_provide_recordings_whatever_their_names() {
    let tree = Tree::new(&[
        "in/a.wav",
        "in/voice",
        "in/notes.md",
        "in/.hidden.wav",
        "in/deep/er/b.wav",
        "in/old/c.wav",
    ]);
    assert_eq!(tree.written(&["in", "--export", "txt"], "txt"), ["in/a.txt", "in/voice.txt"]);
    let deep = ["in", "-r", "--export", "txt", "--output-dir", "out"];
    assert_eq!(
        tree.written(&deep, "txt"),
        ["out/a.txt", "out/deep/er/b.txt", "out/old/c.txt", "out/voice.txt"]
    );
    let flat = [&deep[..], &["--flat", "--exclude", "old", "--include", "*.WAV"]].concat();
    assert_eq!(tree.written(&flat, "txt"), ["out/a.txt", "out/b.txt"]);

    let said = tree.refused(&["in/deep"]);
    assert!(
        said.contains("`in/deep`: a folder without recordings, but with folders\nhint: `--recursive`"),
        "{said}"
    );
    assert!(tree.refused(&["in", "--include", "*.mp3"]).contains("a folder without recordings"));
    assert!(tree.refused(&["in", "--exclude", "[x"]).contains("`--exclude [x`: not a valid pattern"));
}

#[test]
fn patterns_are_expanded_without_a_shell() {
    let tree = Tree::new(&["a1.wav", "a2.wav", "b.wav", "x/a3.wav", "x/y/a4.wav", "a[5].wav"]);
    let written = |line: &[&str]| tree.written(&[line, &["--export", "txt"]].concat(), "txt");
    assert_eq!(written(&["a?.wav"]), ["a1.txt", "a2.txt"]);
    assert_eq!(
        written(&["./**/a*.wav", "--exclude", "a2*"]),
        ["a1.txt", "a[5].txt", "x/a3.txt", "x/y/a4.txt"]
    );
    assert_eq!(written(&["{b,x/*}.wav"]), ["b.txt", "x/a3.txt"]);
    // A name that exists is not a pattern.
    assert_eq!(written(&["a[5].wav"]), ["a[5].txt"]);
    let absolute = tree.at("x/*.wav");
    assert_eq!(written(&[absolute.to_str().unwrap()]), ["x/a3.txt"]);
    let said = tree.refused(&["c*.wav", "a[.wav"]);
    assert!(said.contains("`c*.wav`: no file matches") && said.contains("not a valid pattern"), "{said}");
}

#[test]
fn lists_may_be_lines_or_nul_separated() {
    let tree = Tree::new(&["a b.wav", "c.wav", "in/d.wav", "#e.wav"]);
    fs::write(tree.at("list"), "# mine\r\na b.wav\r\n\r\n./#e.wav\r\nin\r\n").unwrap();
    let line = ["@list", "--export", "txt"];
    assert_eq!(tree.written(&line, "txt"), ["#e.txt", "a b.txt", "in/d.txt"]);
    let mut child = tree.program(&["@-", "--export", "txt"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"c.wav\0a b.wav\0").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(tree.at("c.txt").is_file() && tree.at("a b.txt").is_file());

    fs::write(tree.at("bad.txt"), "c.wav\nnone.wav\nc.wav\nnor.wav\n").unwrap();
    let said = tree.refused(&["@bad.txt", "@nowhere.txt"]);
    assert!(said.contains("`none.wav`: there is no such file (line 2 of `@bad.txt`)"), "{said}");
    assert!(said.contains("line 4 of") && said.contains("`@nowhere.txt`: there is no such file"), "{said}");
    assert!(tree.refused(&["@-", "-"]).contains("standard input can be read only once"));
}

#[test]
fn an_input_named_twice_is_processed_once() {
    let tree = Tree::new(&["in/a.wav"]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a.wav", tree.at("in/b.wav")).unwrap();
        // A cycle, and a broken link.
        std::os::unix::fs::symlink("..", tree.at("in/up")).unwrap();
        std::os::unix::fs::symlink("nowhere", tree.at("in/lost")).unwrap();
    }
    let output = tree.run(&["in/a.wav", "in", "--recursive", "./in/*.wav", "--export", "txt"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("`in/a.wav`: named twice; it is processed once"), "{said}");
    #[cfg(unix)]
    assert!(said.contains("`in/b.wav`: the same file as `in/a.wav`"), "{said}");
    assert!(tree.at("in/a.txt").is_file() && !tree.at("in/b.txt").exists());
}

#[test]
#[cfg(unix)]
fn accepts_any_file_name() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new(&["in/Ærøskøbing 🎙 ́.wav", "in/ -x\t.wav", "in/a\nb.wav"]);
    let odd = std::ffi::OsStr::from_bytes(b"in/caf\xe9.wav");
    fs::copy(tree.at("in/a\nb.wav"), tree.0.path().join(odd)).unwrap();
    let output = tree.run(&["in", "--export", "txt", "--output-dir", "out"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut names: Vec<_> = fs::read_dir(tree.at("out")).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.retain(|name| name.as_bytes().ends_with(b".txt"));
    assert_eq!(names.len(), 4);
    assert!(names.iter().any(|name| name.as_bytes() == b"caf\xe9.txt"));
}

#[test]
fn a_manifest_overrides_settings_of_each_recording() {
    let tree = Tree::new(&["jobs/a.wav", "jobs/b.wav", "c.wav"]);
    let lines = [
        r#"{"audio": "a.wav", "id": 7, "outputs": ["txt", "json"], "language": "german", "prompt": "Wort"}"#,
        "",
        r#"{"audio": "b.wav", "outputs": {"srt": "sub/title.srt"}, "clip": "0,0.5"}"#,
        r#"{"audio": "../c.wav", "output_dir": "there", "task": null}"#,
    ];
    fs::write(tree.at("jobs/jobs.jsonl"), lines.join("\r\n")).unwrap();
    let output = tree.run(&["--manifest", "jobs/jobs.jsonl", "--export", "vtt"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty());
    for path in ["jobs/a.txt", "jobs/a.json", "jobs/sub/title.srt", "jobs/there/c.vtt"] {
        assert!(tree.at(path).is_file(), "{path}");
    }
    assert!(!tree.at("jobs/a.vtt").exists());
}

#[test]
fn all_faults_of_a_manifest_are_reported_at_once() {
    let tree = Tree::new(&["a.wav"]);
    let lines = [
        r#"{"audio": "a.wav", "langage": "de"}"#,
        r#"{"audio": "none.wav", "language": "germna"}"#,
        "not json",
        r#"{"id": "x"}"#,
        r#"{"audio": "a.wav", "id": "x", "clip": "5,2", "outputs": ["doc"]}"#,
        "[]",
        r#"{"audio": "a.wav", "task": "sing"}"#,
        r#"{"audio": "a.wav", "output_dir": "there"}"#,
    ];
    fs::write(tree.at("jobs.jsonl"), lines.join("\n")).unwrap();
    let said = tree.refused(&["--manifest", "jobs.jsonl"]);
    for part in [
        "`jobs.jsonl:1`: unknown key `langage`\nhint: did you mean `language`? valid keys are audio",
        "`none.wav`: there is no such file (`jobs.jsonl:2`)",
        "`jobs.jsonl:2`: `language`: language `germna`",
        "`jobs.jsonl:3`: is not JSON",
        "`jobs.jsonl:4`: `audio` is missing",
        "`jobs.jsonl:5`: repeats the id `x` of `jobs.jsonl:4`",
        "`jobs.jsonl:5`: `clip`: clip `5-2`: ends before it begins",
        "`jobs.jsonl:5`: `outputs`: `--export`: unknown format `doc`",
        "`jobs.jsonl:6`: is not a JSON object",
        "`jobs.jsonl:7`: `task`: task `sing`: neither",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    fs::write(tree.at("jobs.jsonl"), lines[7]).unwrap();
    assert!(tree.refused(&["--manifest", "jobs.jsonl"]).contains("has an `output_dir` but no formats"));
    fs::write(tree.at("jobs.jsonl"), "\n").unwrap();
    assert!(tree.refused(&["--manifest", "jobs.jsonl"]).contains("there are none"));
}

#[test]
fn a_recording_may_be_transcribed_with_different_settings() {
    let tree = Tree::new(&["a.wav"]);
    let lines = [
        r#"{"audio": "a.wav", "outputs": ["txt"]}"#,
        r#"{"audio": "a.wav", "outputs": ["srt"], "language": "de"}"#,
        r#"{"audio": "a.wav", "outputs": {"vtt": "a.es.vtt"}, "language": "es"}"#,
    ];
    fs::write(tree.at("jobs.jsonl"), lines.join("\n")).unwrap();
    let output = tree.run(&["--manifest", "jobs.jsonl"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for path in ["a.txt", "a.srt", "a.es.vtt"] {
        assert!(tree.at(path).is_file(), "{path}");
    }
    let lines = [lines[0], r#"{"audio": "a.wav", "outputs": ["txt"], "task": "translate"}"#];
    fs::write(tree.at("jobs.jsonl"), lines.join("\n")).unwrap();
    let said = tree.refused(&["--manifest", "jobs.jsonl"]);
    assert!(said.contains("`a.txt`: would be written twice for `a.wav`, with different settings"), "{said}");
}

#[test]
fn what_is_missing_fails_alone() {
    let tree = Tree::new(&["a.wav", "b.wav", "c.wav", "empty/notes.md"]);
    fs::write(tree.at("list"), "b.wav\ngone.wav\n").unwrap();
    let lines = [r#"{"audio": "c.wav"}"#, r#"{"audio": "lost.wav", "id": "seven"}"#];
    fs::write(tree.at("jobs.jsonl"), lines.join("\n")).unwrap();
    let line = ["none.wav", "a.wav", "empty", "x*.wav", "@list", "--manifest", "jobs.jsonl"];
    let output = tree.run(&[&line[..], &["--export", "txt", "--report", "run.jsonl"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for name in ["a.txt", "b.txt", "c.txt"] {
        assert!(tree.at(name).is_file(), "{name}");
    }
    for part in [
        "error: `none.wav`: there is no such file\nhint: check the path; quote it if it contains spaces",
        "error: `empty`: a folder without recordings\nhint: ",
        "error: `x*.wav`: no file matches\nhint: ",
        "error: `gone.wav`: there is no such file (line 2 of `@list`)",
        "8 inputs: 3 done, 5 failed",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let report = fs::read_to_string(tree.at("run.jsonl")).unwrap();
    let failed: Vec<serde_json::Value> =
        report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed: Vec<_> = failed.iter().filter(|line| line["event"] == "file_failed").collect();
    let kinds: Vec<_> = failed.iter().map(|line| (&line["input"], &line["kind"], &line["id"])).collect();
    assert!(kinds.contains(&(&"lost.wav".into(), &"missing".into(), &"seven".into())), "{kinds:?}");
    assert!(kinds.contains(&(&"empty".into(), &"no_recordings".into(), &().into())), "{kinds:?}");
    // Nothing is started if there is nothing else, or if the command line is wrong.
    assert!(tree.refused(&["none.wav", "nor.wav"]).contains("`nor.wav`: there is no such file"));
    assert!(tree.refused(&["none.wav", "a.wav", "@nowhere"]).contains("`@nowhere`: there is no such file"));
}

#[test]
#[cfg(unix)]
fn a_broken_link_named_like_a_recording_fails_alone() {
    let tree = Tree::new(&["in/a.wav"]);
    std::os::unix::fs::symlink("nowhere", tree.at("in/gone.wav")).unwrap();
    let output = tree.run(&["in", "--export", "txt"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`in/gone.wav`: cannot be read"), "{output:?}");
    assert!(tree.at("in/a.txt").is_file());
}
