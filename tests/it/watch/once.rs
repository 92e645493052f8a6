//! A watch that ends by itself, or does not begin.

use std::fs;

use super::{Place, SHORT, read};
use crate::program::{bare, run};

#[test]
fn once_does_what_is_there_and_moves_it() {
    let place = Place::new();
    for name in ["a/talk.flac", "b/talk.flac", "b/talk.m4a"] {
        place.give(SHORT, name);
    }
    place.give("audio/damaged/garbage.flac", "b/bad.flac");
    let folders = [place.at("in/done"), place.at("failed")];
    let folders = folders.each_ref().map(|folder| folder.to_str().unwrap());
    let options = ["--recursive", "--done-dir", folders[0], "--failed-dir", folders[1]];
    let ended = place.once(&options);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    for there in [
        "in/done/a/talk.flac",
        "in/done/b/talk.flac",
        "failed/b/bad.flac",
        "out/a/talk.srt",
        "out/b/talk.srt",
    ] {
        assert!(place.at(there).is_file(), "{there}: {}", ended.stderr);
    }
    // Of two that would make one file only one is done.
    assert!(ended.stderr.contains("is already made of"), "{}", ended.stderr);
    let status = read(&place.at("status.json"));
    assert_eq!((&status["queue"]["done"], &status["exit_code"]), (&2.into(), &1.into()), "{status:#}");
    // What was done is not looked at again where it lies now.
    let ended = place.once(&options);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(read(&place.at("status.json"))["queue"]["done"], 0);
}

#[test]
fn what_is_wrong_is_told_at_once() {
    let place = Place::new();
    fs::write(place.at("file.flac"), "x").unwrap();
    fs::write(place.at("other.json"), "{}").unwrap();
    let [inbox, file, gone, other] =
        ["in", "file.flac", "gone", "other.json"].map(|name| place.at(name).display().to_string());
    let (inbox, other) = (inbox.as_str(), other.as_str());
    for (line, code, says) in [
        (vec![inbox], 2, "without `--export` nothing is written"),
        (vec![&file, "--export", "srt"], 2, "is no folder"),
        (vec![&gone, "--export", "srt"], 2, "cannot be watched"),
        (vec![inbox, "--export", "nope"], 2, "nope"),
        (vec![inbox, "--export", "srt", "--status-file", other], 2, "exists and is not a status file"),
        (vec![inbox, "--export", "srt", "--model", "/nonexistent/model"], 3, "/nonexistent/model"),
        (vec![inbox, "--export", "srt", "--include", "[a"], 2, "not a pattern"),
        (vec![inbox, "--export", "srt", "--output-template", "{index}.{ext}"], 2, "a watch has no first one"),
        (vec![inbox, "--export", "srt", "--settle", "soon"], 2, "must be a time"),
    ] {
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo").arg("watch").args(&line);
        let ended = run(program);
        assert_eq!(ended.status.code(), Some(code), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{line:?}: {}", ended.stderr);
    }
    assert_eq!(fs::read_to_string(other).unwrap(), "{}");
}
