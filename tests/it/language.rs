//! Language detection: the result, which windows vote, and a language for each window.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::clips::transcribed;
use crate::program::{demo, fixture, run};
use crate::vad::{faint_noise, samples, wav};

/// Returns the detected language and its probability in percent, as the program reports them.
fn detect(audio: &Path, args: &[&str]) -> (String, u32) {
    let mut program = demo();
    program.arg(audio).args(["--duration", "60", "--chunk-length", "30"]).args(args);
    let said = run(program).stderr;
    let line = said.lines().find(|line| line.contains(": language ")).unwrap_or_else(|| panic!("{said}"));
    let (_, found) = line.split_once(": language ").unwrap();
    let (name, percent) = found.split_once(" (").unwrap();
    (name.to_owned(), percent.split_once(' ').unwrap().0.parse().unwrap())
}

#[test]
fn detected_languages_equal_openai() {
    let reference = fs::read(fixture("reference/languages.json")).unwrap();
    let reference: Vec<Value> = serde_json::from_slice(&reference).unwrap();
    for case in reference {
        let audio = fixture(case["audio"].as_str().unwrap());
        let (code, theirs) = case["probabilities"].as_object().unwrap().iter().next().unwrap();
        let mut program = demo();
        program.arg(audio).args(["--chunk-length", "0", "--temperature-increment-on-fallback", "none"]);
        let said = run(program).stderr;
        let name = match code.as_str() {
            "en" => "english",
            "de" => "german",
            "es" => "spanish",
            other => panic!("{other}"),
        };
        let percent = theirs.as_f64().unwrap() * 100.0;
        assert!(said.contains(&format!("language {name} ({percent:.0} %)")), "{case}: {said}");
    }
}

/// Speech after more than half a minute of music or silence decides, with chunks of any length.
#[test]
fn windows_before_the_first_words_do_not_vote() {
    let folder = tempfile::tempdir().unwrap();
    let (german, music) = (samples("long_de"), samples("music"));
    let intros: [(&str, &[f32], &[&str]); 3] = [
        ("music", &music[..40 * 16_000], &["0", "15", "120"]),
        ("hush", &faint_noise(45.0), &["15"]),
        ("both", &[&music[..], &faint_noise(15.0)].concat(), &["120"]),
    ];
    for (name, intro, chunk_lengths) in intros {
        let audio = folder.path().join(format!("{name}.wav"));
        wav(&audio, &[intro, &german[..40 * 16_000]].concat());
        for chunk_length in chunk_lengths {
            let mut program = demo();
            program.arg(&audio).args(["--temperature-increment-on-fallback", "none"]);
            program.args(["--chunk-length", chunk_length]);
            let said = run(program).stderr;
            assert!(said.contains(": language german"), "{name}, {chunk_length}: {said}");
        }
    }
}

#[test]
fn auto_detects_and_a_requested_language_is_not_detected() {
    let audio = fixture("long/short_es.flac");
    assert_eq!(detect(&audio, &["--language", "Auto"]).0, "spanish");
    let mut program = demo();
    program.arg(&audio).args(["--language", "Castilian"]);
    assert!(!run(program).stderr.contains(": language "));
    let output = demo().arg(&audio).args(["--language", "spannish"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`es` (spanish)") && output.status.code() == Some(2), "{said}");
    for wrong in [["--language-detection-segments", "0"], ["--language_detection_threshold", "1.5"]] {
        assert_eq!(demo().arg(&audio).args(wrong).output().unwrap().status.code(), Some(2));
    }
}

/// With a threshold of 1 all windows vote.
#[test]
fn several_windows_vote() {
    let audio = fixture("long/long_de.flac");
    let one = detect(&audio, &["--language-detection-segments", "1"]);
    let three =
        detect(&audio, &["--language-detection-segments", "3", "--language-detection-threshold", "1"]);
    assert_eq!((one.0.as_str(), three.0.as_str()), ("german", "german"));
}

/// English, German, Spanish, each in windows of its own.
#[test]
fn multilingual_detects_the_language_of_each_window() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("three.wav");
    let part = |name: &str| samples(name)[..32 * 16_000].to_vec();
    wav(&audio, &[part("long_en"), part("long_de"), part("long_es")].concat());
    let clips = ["--clip-timestamps", "0,32,32,64,64,96"];
    let own = |name: &str| transcribed(&fixture("long").join(format!("{name}.flac")), &["--duration", "32"]);
    let (en, de, es) = (own("long_en"), own("long_de"), own("long_es"));
    let mut outputs = Vec::new();
    for batch in ["1", "4"] {
        let done = transcribed(&audio, &[&clips[..], &["--multilingual", "--batch-size", batch]].concat());
        let text = |from: f64, to: f64| -> Vec<String> {
            let segments = done.segments().into_iter();
            segments.filter(|s| s.1 >= from && s.1 < to).map(|(.., text)| text).collect()
        };
        let texts = |done: &crate::clips::Done| -> Vec<String> {
            done.segments().into_iter().map(|(.., text)| text).collect()
        };
        assert_eq!(text(0.0, 32.0), texts(&en));
        for segment in done.json["segments"].as_array().unwrap() {
            let (start, language) = (segment["start"].as_f64().unwrap(), segment["language"].as_str());
            let spoken = ["en", "de", "es"][(start / 32.0) as usize];
            assert_eq!(language, Some(spoken), "at {start}");
        }
        let same = |ours: Vec<String>, theirs: Vec<String>| {
            ours.iter().filter(|text| theirs.contains(text)).count() as f64 / theirs.len() as f64
        };
        let (german, spanish) = (same(text(32.0, 64.0), texts(&de)), same(text(64.0, 96.0), texts(&es)));
        assert!(german >= 0.8 && spanish >= 0.8, "{german} {spanish}: {:?}", done.segments());
        outputs.push(done.json);
    }
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn translations_equal_openai() {
    let audio = fixture("long/short_es.flac");
    let done = transcribed(&audio, &["--task", "translate", "--language", "es"]);
    let reference = fs::read(fixture("reference/short_es.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    assert_eq!(done.text(), reference["variants"]["translate"]["text"].as_str().unwrap());
}
