//! `transcribe export` as a black box: transcripts of this and other programs converted to other formats.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::{Value, json};

use crate::program::{DEMO_WARNING, bare, names};

fn export() -> Command {
    let mut program = bare();
    program.arg("export");
    Command::from_std(program)
}

fn shaping() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/export/shaping.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Creates a folder with openai's transcript of ten seconds of speech.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let talk = folder.path().join("talk.json");
    fs::write(&talk, shaping()["spoken"]["result"].to_string()).unwrap();
    (folder, talk)
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn output_options_match_openai() {
    let (folder, talk) = folder();
    let content = shaping();
    let outputs = content["spoken"]["outputs"].as_array().unwrap();
    for (i, output) in outputs.iter().enumerate() {
        let out = folder.path().join(i.to_string());
        let format = output["format"].as_str().unwrap();
        let mut program = export();
        program.arg(&talk).args(["--subtitles", "openai", "--json-style", "openai", "--export", format]);
        program.arg("--output-dir").arg(&out);
        for (name, value) in output["options"].as_object().unwrap() {
            program.args([format!("--{name}"), value.to_string()]);
        }
        program.assert().code(0).stdout(is_empty()).stderr(is_empty());
        assert_eq!(read(out.join(format!("talk.{format}"))), output["bytes"].as_str().unwrap(), "{output}");
    }
}

#[test]
fn json_of_every_program_gives_the_same_subtitles() {
    let (folder, talk) = folder();
    let at = |name: &str| folder.path().join(name);
    export().arg(&talk).args(["--export", "all", "--output-dir"]).arg(at("ours")).assert().code(0);
    assert_eq!(names(&at("ours")).len(), 10);
    let expected = read(at("ours/talk.srt"));
    assert!(expected.starts_with("1\n00:00:00,440 --> 00:00:01,780\nOne three.\n"), "{expected}");
    for style in ["full", "openai", "whisper-cpp", "whisperx"] {
        let out = at(style);
        let mut program = export();
        program.arg(&talk).args(["--export", "json", "--json-style", style, "--output-dir"]).arg(&out);
        program.assert().code(0);
        export().arg(out.join("talk.json")).args(["--export", "srt"]).assert().code(0);
        assert_eq!(read(out.join("talk.srt")), expected, "{style}");
    }
    // Single words, as transformers pipelines write them.
    let words: Vec<Value> = shaping()["spoken"]["result"]["segments"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|segment| segment["words"].as_array().unwrap().clone())
        .map(|word| json!({"text": word["word"], "timestamp": [word["start"], word["end"]]}))
        .collect();
    fs::write(at("words.json"), json!({"text": "", "chunks": words}).to_string()).unwrap();
    export().arg(at("words.json")).args(["--export", "srt,txt"]).assert().code(0);
    assert_eq!(read(at("words.srt")), expected);
    assert_eq!(
        read(at("words.txt")),
        "One three.\nThe door is blue.\nClose Friday two eight Monday six door.\n"
    );
    // Also from subtitles and from standard input.
    export().arg(at("words.srt")).args(["--export", "tsv"]).assert().code(0);
    assert!(read(at("words.tsv")).starts_with("start\tend\ttext\n440\t1780\tOne three.\n"));
    let mut program = export();
    program
        .args(["-", "--export", "srt", "--output-dir"])
        .arg(at("in"))
        .write_stdin(read(talk))
        .assert()
        .code(0);
    assert_eq!(read(at("in/stdin.srt")), expected);
}

/// Gives the numbers of a segment the digits that are written: scores those of single precision, times six.
fn shorten_numbers(segment: &mut Value) {
    let shorten = |value: &mut Value| {
        let number = value.as_f64().unwrap() as f32;
        *value = number.to_string().parse::<f64>().unwrap().into();
    };
    ["avg_logprob", "compression_ratio", "no_speech_prob"]
        .iter()
        .for_each(|name| shorten(&mut segment[name]));
    let round = |value: &mut Value| *value = ((value.as_f64().unwrap() * 1e6).round() / 1e6).into();
    ["start", "end"].iter().for_each(|name| round(&mut segment[name]));
    for word in segment["words"].as_array_mut().unwrap() {
        shorten(&mut word["probability"]);
        ["start", "end"].iter().for_each(|name| round(&mut word[name]));
    }
}

#[test]
fn own_json_round_trips_all_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut segments = shaping()["spoken"]["result"]["segments"].clone();
    segments.as_array_mut().unwrap().iter_mut().for_each(shorten_numbers);
    let quality = json!({
        "coverage": {"duration": 10.5, "transcribed": 4.0, "skipped": 2.0, "not_asked_for": 0.0, "dropped": 1.0,
            "silent": 3.5, "ratio": 0.8},
        "confidence": 0.5,
        "dropped": [{"start": 1.0, "end": 2.0}],
        "low_confidence": [{"start": 3.0, "end": 4.0, "confidence": 0.1, "text": "x"}],
        "repetitions": [], "without_voice": [],
        "fallbacks": [{"start": 0.0, "end": 10.5, "rule": "likeliest", "temperature": 0.2,
            "rejected": [{"temperature": 0.0, "faults": ["logprob", "compression_ratio"]}]}],
    });
    let value = json!({"text": " x", "segments": segments, "language": "en", "source": "talk.mp3", "duration": 10.5,
        "model": {"name": "tiny", "revision": null}, "language_probability": 0.75,
        "languages": {"de": 0.25, "en": 0.75}, "skipped": [{"start": 8.5, "end": 10.5, "why": "silence"}],
        "quality": quality, "partial": true});
    fs::write(at("a.partial.json"), value.to_string()).unwrap();
    let mut program = export();
    program.arg(at("a.partial.json")).args(["--export", "json,srt", "--output-dir"]).arg(at("out"));
    program.assert().code(0);
    let mut written: Value = serde_json::from_str(&read(at("out/a.partial.json"))).unwrap();
    // Describes the subtitles of this conversion.
    assert!(written.as_object_mut().unwrap().remove("subtitles").is_some());
    assert_eq!(written, value);
    assert!(read(at("out/a.partial.srt")).ends_with("00:00:10,500 --> 00:00:12,500\n[partial]\n\n"));
}

#[test]
fn prints_text_without_export() {
    let (_folder, talk) = folder();
    let text = "One three.\nThe door is blue.\nClose Friday two eight Monday six door.\n";
    export().arg(&talk).assert().code(0).stdout(text).stderr(is_empty());
}

#[test]
fn keeps_existing_outputs_without_overwrite() {
    let (folder, talk) = folder();
    let srt = folder.path().join("talk.srt");
    fs::write(&srt, "mine").unwrap();
    export().arg(&talk).args(["--export", "srt"]).assert().code(0).stderr(contains("already done"));
    assert_eq!(read(srt.clone()), "mine");
    export().arg(&talk).args(["--export", "srt", "--overwrite"]).assert().code(0);
    assert!(read(srt).starts_with("1\n"));
    assert_eq!(names(folder.path()), ["talk.json", "talk.srt"]);
}

#[test]
fn rejects_wrong_command_lines_before_writing() {
    let (folder, talk) = folder();
    let rejected = |line: &[&str], message: &str| {
        export()
            .arg(&talk)
            .args(line)
            .assert()
            .code(2)
            .stdout(is_empty())
            .stderr(contains(message.to_owned()));
    };
    rejected(&["--export", "json"], "is an input and would be overwritten");
    rejected(&["--output-dir", "x"], "hint: choose the formats");
    rejected(&["--min-score", "90"], "--check");
    rejected(&["--max-cue-duration", "-1"], "must lie between 0 and 3600 seconds");
    export().assert().code(2).stderr(contains("<INPUT>"));
    assert_eq!(names(folder.path()), ["talk.json"]);
}

#[test]
fn bad_files_fail_alone() {
    let (folder, talk) = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("bad.json"), "{\"segments\": 7}").unwrap();
    fs::write(at("song.mp3"), "la").unwrap();
    fs::write(at("plain.txt"), "Words without times.\n").unwrap();
    let mut program = export();
    program
        .args([at("bad.json"), at("song.mp3"), at("none.json"), at("plain.txt"), talk])
        .args(["--export", "vtt"]);
    program.assert().code(1).stderr(
        contains("bad.json`: line 1: ")
            .and(contains(
                "song.mp3`: not a transcript in a supported format\nhint: supported: files ending in json",
            ))
            .and(contains("none.json`: there is no such file\nhint: check the path"))
            .and(contains("plain.txt`: has no times, which `vtt` requires\nhint: ")),
    );
    assert!(read(at("talk.vtt")).starts_with("WEBVTT\n\n00:00.440 --> "));
    assert!(!at("bad.vtt").exists());
}

#[test]
fn options_that_need_word_times_are_rejected_without_them() {
    let (folder, _) = folder();
    let plain = folder.path().join("plain.srt");
    fs::write(&plain, "1\n00:00:01,000 --> 00:00:03,000\nsome words here\n").unwrap();
    let mut program = export();
    program.arg(&plain).args(["--export", "vtt", "--highlight-words"]);
    let message = "plain.srt`: has no word times, which `--highlight-words` requires\nhint: ";
    program.assert().code(1).stderr(contains(message));
    let mut program = export();
    program.arg(&plain).args(["--export", "vtt", "--highlight-words", "--subtitles", "readable"]);
    program.assert().code(0).stderr(is_empty());
    assert!(read(folder.path().join("plain.vtt")).starts_with(
        "WEBVTT\n\n00:00.900 --> 00:01.000\nsome words here\n\n00:01.000 --> 00:01.615\n<u>some</u> words"
    ));
}

#[cfg(unix)]
#[test]
fn unwritable_output_exits_with_6() {
    let (folder, talk) = folder();
    fs::create_dir(folder.path().join("talk.srt")).unwrap();
    let mut program = export();
    program.arg(&talk).args(["--export", "srt", "--overwrite"]);
    program.assert().code(6).stderr(contains("talk.srt` cannot be written"));
}

#[test]
fn check_scores_subtitles() {
    let (folder, talk) = folder();
    let at = |name: &str| folder.path().join(name);
    export().arg(&talk).args(["--export", "srt"]).assert().code(0);
    let good = "talk.srt: 100.0 of 100, 3 cues: no problems\n";
    let check = |files: &[PathBuf], line: &[&str]| export().arg("--check").args(files).args(line).assert();
    check(&[at("talk.srt")], &["--min-score", "99"]).code(0).stdout(contains(good)).stderr(is_empty());
    let bad = "WEBVTT\n\n00:01.000 --> 00:01.200\nfar too much for so little time\n\n00:01.100 --> 00:09.000\nover\n\n";
    fs::write(at("bad.vtt"), bad).unwrap();
    let line = "bad.vtt: 40.0 of 100, 2 cues: 1 overlapping, 1 too fast, 1 too short, 1 too long\n";
    check(&[at("bad.vtt")], &[]).code(0).stdout(contains(line));
    let missed = "error: `--min-score 50`: not met by 1 of 2 files";
    check(&[at("bad.vtt"), at("talk.srt")], &["--min-score", "50"])
        .code(7)
        .stdout(contains(line).and(contains(good)))
        .stderr(contains(missed));
    check(&[at("none.srt")], &[]).code(1).stderr(contains("none.srt`: cannot be read"));
    // Other limits give other scores.
    let narrow = check(&[at("talk.srt")], &["--max-line-width", "20"]);
    narrow.code(0).stdout(contains("90.0 of 100, 3 cues: 1 with long lines"));
}

/// Times that no recording has are written, not calculated with until they overflow.
#[test]
fn far_off_times_are_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("far.json");
    let segments = json!([
        {"id": 0, "start": -1e300, "end": 1e300, "text": " a"},
        {"id": 1, "start": 1e300, "end": -1e300, "text": " b"},
    ]);
    fs::write(&json, json!({"text": " a b", "segments": segments, "language": "en"}).to_string()).unwrap();
    for options in [
        &["--export", "srt,vtt,ass,lrc,csv,tsv,html"][..],
        &["--export", "srt", "--subtitles", "bbc", "--overwrite"],
    ] {
        export().arg(&json).args(options).assert().code(0);
    }
}

/// From a recording to all formats, with options that need no word times.
#[test]
fn transcribes_to_every_format() {
    let (folder, _) = folder();
    let out = folder.path().join("out");
    let mut program = bare();
    let audio = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac");
    program.arg(audio).args(["--model", "demo", "--export", "all", "--subtitles", "readable"]);
    program.args(["--max-line-width", "12", "--json-style", "hf", "--output-dir"]).arg(&out);
    Command::from_std(program).assert().code(0).stderr(DEMO_WARNING);
    let formats = ["ass", "csv", "html", "json", "lrc", "rttm", "srt", "tsv", "txt", "vtt"];
    assert_eq!(names(&out), formats.map(|format| format!("short_en.{format}")));
    assert!(read(out.join("short_en.json")).starts_with("{\"text\": \" One three."));
    assert!(read(out.join("short_en.srt")).ends_with("\neight Monday\nsix door.\n\n"));
    assert!(read(out.join("short_en.csv")).starts_with("start,end,text\n670,1350,\" One three.\"\n"));
    assert!(read(out.join("short_en.ass")).contains(",,One three.\n"));
}

/// With word times: readable subtitles by default, openai's with its options; a conversion gives the same outputs.
#[test]
fn word_times_shape_subtitles() {
    let folder = tempfile::tempdir().unwrap();
    let audio = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac");
    let options = [
        &[][..],
        &["--subtitles", "openai", "--max_line_width", "20", "--max_line_count", "2"],
        &["--subtitles", "openai", "--highlight_words", "True"],
    ];
    let mut subtitles = Vec::new();
    for (i, line) in options.iter().enumerate() {
        let out = folder.path().join(i.to_string());
        let mut program = Command::from_std(bare());
        program.arg(&audio).args(["--model", "demo", "--word-timestamps", "--export", "srt,vtt,json"]);
        program.args(*line).arg("--output-dir").arg(&out).assert().code(0);
        let again = out.join("again");
        let mut program = export();
        program.arg(out.join("short_en.json")).args(["--export", "srt,vtt,json"]).args(*line);
        program.arg("--output-dir").arg(&again).assert().code(0).stderr(is_empty());
        for format in ["srt", "vtt", "json"] {
            let name = format!("short_en.{format}");
            assert_eq!(read(again.join(&name)), read(out.join(&name)), "{line:?}");
        }
        subtitles.push(read(out.join("short_en.srt")));
    }
    assert!(subtitles[0].contains("\nClose Friday two eight Monday six door.\n"), "{}", subtitles[0]);
    // The same bytes as openai's program writes for the same recording.
    let content = shaping();
    let reference = |options: Value| {
        let outputs = content["spoken"]["outputs"].as_array().unwrap();
        let found = outputs.iter().find(|output| output["format"] == "srt" && output["options"] == options);
        found.unwrap()["bytes"].as_str().unwrap().to_owned()
    };
    assert_eq!(subtitles[1], reference(json!({"max_line_width": 20, "max_line_count": 2})));
    assert_eq!(subtitles[2], reference(json!({"highlight_words": true})));
    let check = export().arg("--check").arg(folder.path().join("0/short_en.srt")).assert();
    check.code(0).stdout(contains("no problems"));
}
