//! `watch --once`, and command lines that `watch` refuses.

use std::fs;

use super::{SHORT, WatchFolder, read_status};
use crate::program::{bare, run};

#[test]
fn once_transcribes_what_is_there_and_moves_it() {
    let folder = WatchFolder::new();
    for name in ["a/talk.flac", "b/talk.flac", "b/talk.m4a"] {
        folder.add(SHORT, name);
    }
    folder.add("audio/damaged/garbage.flac", "b/bad.flac");
    let folders = [folder.at("in/done"), folder.at("failed")];
    let folders = folders.each_ref().map(|folder| folder.to_str().unwrap());
    let options = ["--recursive", "--done-dir", folders[0], "--failed-dir", folders[1]];
    let ended = folder.once(&options);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for there in [
        "in/done/a/talk.flac",
        "in/done/b/talk.flac",
        "failed/b/bad.flac",
        "out/a/talk.srt",
        "out/b/talk.srt",
    ] {
        assert!(folder.at(there).is_file(), "{there}: {}", ended.stderr);
    }
    // Of two inputs with the same output only one is transcribed.
    assert!(ended.stderr.contains("is already an output of"), "{}", ended.stderr);
    let status = read_status(&folder.at("status.json"));
    assert_eq!((&status["queue"]["done"], &status["exit_code"]), (&2.into(), &1.into()), "{status:#}");
    // Moved inputs are not found again.
    let ended = folder.once(&options);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(read_status(&folder.at("status.json"))["queue"]["done"], 0);
}

#[test]
fn faults_are_reported_before_watching() {
    let folder = WatchFolder::new();
    fs::write(folder.at("file.flac"), "x").unwrap();
    fs::write(folder.at("other.json"), "{}").unwrap();
    let [inbox, file, gone, other] =
        ["in", "file.flac", "gone", "other.json"].map(|name| folder.at(name).display().to_string());
    let (inbox, other) = (inbox.as_str(), other.as_str());
    for (line, code, says) in [
        (vec![inbox], 2, "needs `--export`"),
        (vec![&file, "--export", "srt"], 2, "not a folder"),
        (vec![&gone, "--export", "srt"], 2, "cannot be watched"),
        (vec![inbox, "--export", "nope"], 2, "nope"),
        (vec![inbox, "--export", "srt", "--status-file", other], 2, "exists and is not a status file"),
        (vec![inbox, "--export", "srt", "--model", "/nonexistent/model"], 3, "/nonexistent/model"),
        (vec![inbox, "--export", "srt", "--include", "[a"], 2, "not a valid pattern"),
        (
            vec![inbox, "--export", "srt", "--output-template", "{index}.{ext}"],
            2,
            "a watch has no fixed list of inputs",
        ),
        (vec![inbox, "--export", "srt", "--settle", "soon"], 2, "must be a duration"),
    ] {
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo").arg("watch").args(&line);
        let ended = run(program);
        assert_eq!(ended.status.code(), Some(code), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{line:?}: {}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(other).unwrap(), "{}");
}

#[test]
fn pages_link_to_where_their_recording_is_moved() {
    let folder = WatchFolder::new();
    folder.add(SHORT, "a/talk.flac");
    let done = folder.at("done");
    let ended = folder.once(&["--recursive", "--export", "html", "--done-dir", done.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(folder.at("done/a/talk.flac").is_file());
    let page = fs::read_to_string(folder.at("out/a/talk.html")).unwrap();
    assert!(page.contains("\"../../done/a/talk.flac\""), "the link is missing");
}
