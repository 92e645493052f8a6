//! The formats compared with the bytes that openai-whisper's own writers made of the same segments, and how files are
//! written to disk.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use transcribe::error::Error;
use transcribe::export::{ExportOptions, Format, JsonStyle, Preset, Rendering};
use transcribe::store::write_file;
use transcribe::transcript::{ModelIdentity, Segment, Transcript};

const CASES: [&str; 5] = ["empty", "numbers", "plain", "texts", "times"];
const OPENAI_FORMATS: [Format; 5] = [Format::Txt, Format::Vtt, Format::Srt, Format::Tsv, Format::Json];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/export").join(name)
}

fn read(name: &str) -> Value {
    serde_json::from_slice(&fs::read(fixture(name)).unwrap()).unwrap()
}

/// Makes a transcript of a result of openai's.
pub fn transcript(value: &Value) -> Transcript {
    let segment = |value: &Value| serde_json::from_value::<Segment>(value.clone()).unwrap();
    Transcript {
        source: "talk.mp3".into(),
        duration: 60.0,
        model: ModelIdentity { name: "demo".into(), revision: None },
        language: value["language"].as_str().unwrap().into(),
        text: value["text"].as_str().unwrap().into(),
        segments: value["segments"].as_array().unwrap().iter().map(segment).collect(),
        ..Transcript::default()
    }
}

/// What openai's `transcribe()` returns for a recording of ten seconds, with words.
pub fn spoken() -> Transcript {
    transcript(&read("shaping.json")["spoken"]["result"])
}

/// The options with which outputs equal those of openai's writers.
fn openai() -> ExportOptions {
    ExportOptions { preset: Some(Preset::OpenAi), json_style: JsonStyle::OpenAi, ..ExportOptions::default() }
}

/// The content of a file in a format.
pub fn written(format: Format, transcript: &Transcript, options: &ExportOptions) -> Vec<u8> {
    format.write(&Rendering::new(transcript, options))
}

fn check(what: &str, got: Vec<u8>, expected: &str) {
    let got = String::from_utf8(got).unwrap();
    if let Some((ours, theirs)) = got.split('\n').zip(expected.split('\n')).find(|(a, b)| a != b) {
        panic!("{what}:\n  got      {ours:?}\n  expected {theirs:?}");
    }
    assert!(got == expected, "{what}: lengths differ");
}

#[test]
fn every_format_equals_the_reference_to_the_byte() {
    for case in CASES {
        let transcript = transcript(&read(&format!("{case}.in.json")));
        for format in OPENAI_FORMATS {
            let expected = fs::read_to_string(fixture(&format!("{case}.{format}"))).unwrap();
            check(&format!("{case}.{format}"), written(format, &transcript, &openai()), &expected);
        }
        // Without words, subtitles are openai's by default.
        let expected = fs::read_to_string(fixture(&format!("{case}.srt"))).unwrap();
        check(case, written(Format::Srt, &transcript, &ExportOptions::default()), &expected);
    }
}

#[test]
fn lays_out_words_like_openai_for_all_of_its_options() {
    let number = |options: &Value, name: &str| options[name].as_u64().map(|n| n as usize);
    let mut compared = 0;
    for (case, content) in read("shaping.json").as_object().unwrap() {
        let transcript = transcript(&content["result"]);
        for output in content["outputs"].as_array().unwrap() {
            let options = &output["options"];
            let export = ExportOptions {
                max_line_width: number(options, "max_line_width"),
                max_line_count: number(options, "max_line_count"),
                max_words_per_line: number(options, "max_words_per_line"),
                highlight_words: options["highlight_words"].as_bool().unwrap_or(false),
                ..openai()
            };
            let format: Format = output["format"].as_str().unwrap().parse().unwrap();
            let got = written(format, &transcript, &export);
            check(&format!("{case}.{format} {options}"), got, output["bytes"].as_str().unwrap());
            compared += 1;
        }
    }
    assert_eq!(compared, 68);
}

#[test]
fn every_fixture_is_compared() {
    for entry in fs::read_dir(fixture("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let case = name.split('.').next().unwrap();
        let known = ["make.py", "make_shaping.py", "shaping.json"].contains(&&*name);
        assert!(CASES.contains(&case) || known, "{name} is not used by any test");
    }
}

/// The names in a folder, hidden files included.
fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn replaces_a_file_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.srt");
    write_file(&path, b"first").unwrap();
    write_file(&path, b"2nd").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"2nd");
    assert_eq!(listing(folder.path()), ["talk.srt"]);
}

#[test]
fn a_failed_write_keeps_the_old_file_and_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/talk.srt");
    let taken = folder.path().join("taken.srt");
    fs::create_dir(&taken).unwrap();
    for path in [missing, taken] {
        match write_file(&path, b"text") {
            Err(Error::Output { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(listing(folder.path()), ["taken.srt"]);
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn new_files_get_default_permissions_and_replaced_files_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("plain");
        fs::write(&plain, b"").unwrap();
        let path = folder.path().join("talk.srt");
        write_file(&path, b"new").unwrap();
        assert_eq!(mode(&path), mode(&plain));

        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        write_file(&path, b"again").unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[test]
    fn does_not_replace_write_protected_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("talk.srt");
        fs::write(&path, b"precious").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        assert!(matches!(write_file(&path, b"new"), Err(Error::Output { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        assert_eq!(listing(folder.path()), ["talk.srt"]);
    }

    #[test]
    fn follows_symlinks_and_keeps_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        let (link, chain) = (folder.path().join("link.srt"), folder.path().join("chain.srt"));
        symlink("store/real.srt", &link).unwrap();
        symlink("link.srt", &chain).unwrap();
        for content in [b"made", b"redo"] {
            write_file(&chain, content).unwrap();
            assert_eq!(fs::read(folder.path().join("store/real.srt")).unwrap(), content);
        }
        assert!(link.is_symlink() && chain.is_symlink());
        assert_eq!(listing(&folder.path().join("store")), ["real.srt"]);

        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(write_file(&circle, b"x").is_err());
    }

    #[test]
    fn writes_into_a_named_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write_file(&pipe, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert_eq!(listing(folder.path()), ["pipe"]);
    }
}
