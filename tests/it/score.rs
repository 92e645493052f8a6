//! `transcribe score` as a black box: inputs, quality gates and reports.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};
use serde_json::{Value, json};

use crate::program::{bare, fixture};

const SRT: &str =
    "1\n00:00:00,000 --> 00:00:01,000\nThe door is blue.\n\n2\n00:00:02,000 --> 00:00:03,000\nIt's two.\n";
const VTT: &str =
    "WEBVTT\n\n00:00.100 --> 00:01.000\nThe door is blue.\n\n00:02.000 --> 00:03.300\nIt is 2.\n";
const TSV: &str = "start\tend\ttext\n100\t1000\tThe moor is blue.\n2000\t3300\tIt is 2.\n";
const JSON: &str = r#"{"text": " The door is blue. It is 2!", "language": "en", "segments": [
    {"start": 0.1, "end": 1.0, "text": " The door is blue."}, {"start": 2.0, "end": 3.3, "text": " It is 2!"}]}"#;

fn score() -> Command {
    let mut program = bare();
    // Variables for transcribing must not interfere.
    program.env("TRANSCRIBE_MODEL", "demo").arg("score");
    Command::from_std(program)
}

/// A folder with these files in it.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn report(reference: &Path, hypothesis: &Path, options: &[&str]) -> Value {
    let output =
        score().args([reference, hypothesis]).arg("--json").args(options).assert().code(0).stderr(is_empty());
    serde_json::from_slice(&output.get_output().stdout).unwrap()
}

#[test]
fn compares_every_format_with_every_other() {
    let files = [
        ("a.srt", SRT),
        ("b.vtt", VTT),
        ("c.tsv", TSV),
        ("d.json", JSON),
        ("e.TXT", "The door is blue, it's two"),
    ];
    let folder = folder(&files);
    for (reference, _) in files {
        for (hypothesis, _) in files {
            let found = report(
                &folder.path().join(reference),
                &folder.path().join(hypothesis),
                &["--language", "English"],
            );
            let errors = u64::from((reference == "c.tsv") != (hypothesis == "c.tsv"));
            let total = &found["total"];
            assert_eq!(total["words"]["substitutions"], errors, "{reference} {hypothesis}");
            assert_eq!(total["wer"], errors as f64 / 7.0, "{reference} {hypothesis}");
            let timed = reference != "e.TXT" && hypothesis != "e.TXT";
            assert_eq!(
                total["timing"]["segments"]["starts"]["count"] == 2,
                timed,
                "{reference} {hypothesis}: {found}"
            );
        }
    }
    let found = report(&folder.path().join("a.srt"), &folder.path().join("b.vtt"), &["--language", "en"]);
    let starts = json!({"count": 2, "mean": 0.05, "median": 0.05, "p95": 0.095, "max": 0.1, "bias": 0.05});
    assert_eq!(found["total"]["timing"]["segments"]["starts"], starts);
    assert_eq!(found["total"]["timing"]["segments"]["ends"]["max"], 0.3);
    assert_eq!(found["pairs"][0]["name"], "b");
}

#[test]
fn normaliser_follows_the_language_or_the_option() {
    let folder = folder(&[
        ("a.txt", "It's two colours"),
        ("b.txt", "it is 2 colors"),
        ("c.json", r#"{"text": "It is 2 colors", "language": "en"}"#),
    ]);
    let [a, b, c] = ["a.txt", "b.txt", "c.json"].map(|name| folder.path().join(name));
    let used = |hypothesis: &Path, options: &[&str]| {
        let found = report(&a, hypothesis, options);
        (
            found["pairs"][0]["normaliser"].as_str().unwrap().to_owned(),
            found["total"]["words"]["hits"].clone(),
        )
    };
    assert_eq!(used(&c, &[]), ("english".into(), json!(4)));
    assert_eq!(used(&b, &[]), ("basic".into(), json!(1)));
    assert_eq!(used(&b, &["--normalizer", "english"]), ("english".into(), json!(4)));
    assert_eq!(used(&c, &["--normaliser", "none"]), ("none".into(), json!(0)));
    assert_eq!(used(&c, &["--language", "de"]), ("basic".into(), json!(1)));
    assert_eq!(used(&c, &["--split-letters"]), ("basic".into(), json!(9)));
}

#[test]
fn missed_gate_exits_with_7() {
    let folder = folder(&[("a.srt", SRT), ("b.tsv", TSV), ("c.txt", "The door is blue. It's two.")]);
    let [a, b, c] = ["a.srt", "b.tsv", "c.txt"].map(|name| folder.path().join(name));
    let ends = |hypothesis: &Path, options: &[&str], code: i32, message: &str| {
        let ended =
            score().args([&a, hypothesis]).args(["--language", "en"]).args(options).assert().code(code);
        ended.stdout(contains("WER")).stderr(contains(message));
    };
    ends(&b, &["--max-wer", "15%", "--max-cer", "0.1", "--max-timing-error", "0.11"], 0, "");
    ends(&b, &["--max-wer", "0"], 7, "error: `--max-wer 0 %`: the word error rate is 14.2857 %");
    ends(&b, &["--max-cer", "1%"], 7, "error: `--max-cer 1 %`: the character error rate is");
    ends(
        &b,
        &["--max_timing_error", "0.09"],
        7,
        "error: `--max-timing-error 0.09 s`: times are off by 0.1 s on average",
    );
    ends(&c, &["--max-timing-error", "1"], 7, "no times to compare");
    score().args([&a, &b]).env("TRANSCRIBE_MAX_WER", "1%").assert().code(7);
    score().args([&a, &b]).args(["--max-wer", "5"]).assert().code(2).stderr(contains("did you mean `5%`?"));
}

#[test]
fn pairs_folders_by_name() {
    let reference =
        folder(&[("one.txt", "a b c d"), ("deep/two.txt", "e f"), (".hidden.txt", "x"), ("notes.md", "x")]);
    let hypothesis = folder(&[
        ("one.srt", "1\n0:00 --> 0:01\na b x d\n"),
        ("one.txt", "q"),
        ("deep/two.json", r#"{"text": "e f"}"#),
    ]);
    let found = report(reference.path(), hypothesis.path(), &["--max-wer", "20%"]);
    let names: Vec<&str> =
        found["pairs"].as_array().unwrap().iter().map(|pair| pair["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["deep/two", "one"]);
    // The total weights words equally, not files.
    assert_eq!(found["total"]["wer"], 1.0 / 6.0);
    assert_eq!(
        found["limits"],
        json!([{"limit": "max-wer", "pair": null, "max": 0.2, "value": 1.0 / 6.0, "met": true}])
    );
    let all = score()
        .args([reference.path(), hypothesis.path()])
        .args(["--max-wer", "20%", "--per-file"])
        .assert()
        .code(7);
    all.stdout(contains("all 2\n  WER 16.67 %"))
        .stderr(contains("error rate in `one` is 25 %").and(contains("two").not()));

    fs::write(hypothesis.path().join("three.txt"), "x").unwrap();
    fs::write(reference.path().join("four.txt"), "x").unwrap();
    let junit = hypothesis.path().join("out.xml");
    let unpaired = score().args([reference.path(), hypothesis.path()]).arg("--junit").arg(&junit).assert();
    let made = hypothesis.path().display();
    let lacks = |file: &str, folder: &dyn std::fmt::Display| {
        contains(format!("{file}`: no file of that name in `{folder}`\nhint: paired files differ"))
    };
    let errors = lacks("three.txt", &reference.path().display()).and(lacks("four.txt", &made));
    unpaired.code(1).stdout(contains("one\n  WER 25.00 %")).stderr(errors);
    let xml = fs::read_to_string(&junit).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let suite = xml.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    assert_eq!(["tests", "errors"].map(|name| suite.attribute(name).unwrap()), ["4", "2"]);
    let mixed = score().args([reference.path(), &hypothesis.path().join("one.srt")]).assert().code(2);
    mixed.stderr(contains("a folder cannot be compared with a file"));
    let empty = folder(&[]);
    score().args([empty.path(), empty.path()]).assert().code(2).stderr(contains("no transcripts found"));
}

#[test]
fn unreadable_transcripts_are_reported_with_their_line() {
    let reference = folder(&[("a.txt", "x"), ("b.txt", "y"), ("c.txt", "z")]);
    let hypothesis =
        folder(&[("a.srt", "1\n0:00 --> soon\nx\n"), ("b.txt", "y"), ("c.json", "{\n\"text\": 5}")]);
    let junit = hypothesis.path().join("out.xml");
    let ended =
        score().args([reference.path(), hypothesis.path()]).arg("--junit").arg(&junit).assert().code(1);
    let errors =
        contains("a.srt`: line 2: `soon` is not a time").and(contains("c.json`: line 2: invalid type"));
    ended.stdout(contains("b\n  WER 0.00 %")).stderr(errors.and(contains("hint: correct that line")));
    let xml = fs::read_to_string(&junit).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    assert_eq!(xml.descendants().filter(|node| node.has_tag_name("error")).count(), 2);

    let [a, none] = ["a.txt", "none.txt"].map(|name| reference.path().join(name));
    score().args([&a, &none]).arg("--junit").arg(&junit).assert().code(1);
    assert!(fs::read_to_string(&junit).unwrap().contains("errors=\"1\""));
    score()
        .args([&a, &none])
        .assert()
        .code(1)
        .stderr(contains("none.txt`: cannot be read").and(contains("check the path")));
    let audio = fixture("long/short_en.flac");
    score().args([&a, &audio]).assert().code(1).stderr(contains("not a transcript in a supported format"));
    score().arg(&a).assert().code(2).stderr(contains("HYPOTHESIS"));
    let both = score().args([&a, &a]).args(["--normaliser", "english", "--split-letters"]).assert().code(2);
    both.stdout(is_empty()).stderr(starts_with("error: ").and(contains("require `--normaliser basic`")));
}

#[test]
fn junit_report_has_each_pair_and_each_gate() {
    let reference = folder(&[("a<&\">.txt", "the door is blue"), ("b.txt", "the door is blue")]);
    let hypothesis = folder(&[("a<&\">.txt", "the door is blue"), ("b.txt", "the moor is blue")]);
    let junit = hypothesis.path().join("out.xml");
    let options = ["--per-file", "--max-wer", "10%", "--json", "--junit"];
    score().args([reference.path(), hypothesis.path()]).args(options).arg(&junit).assert().code(7);
    let xml = fs::read_to_string(&junit).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let suite = xml.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let counts = ["tests", "failures", "errors"].map(|name| suite.attribute(name).unwrap());
    assert_eq!(counts, ["4", "1", "0"]);
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    let names: Vec<_> = cases.iter().map(|case| case.attribute("name").unwrap()).collect();
    assert_eq!(names, ["a<&\">", "b", "--max-wer 10 % a<&\">", "--max-wer 10 % b"]);
    let failed: Vec<_> =
        cases.iter().filter_map(|case| case.children().find(|node| node.has_tag_name("failure"))).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].attribute("message"), Some("the word error rate in `b` is 25 %"));

    let nowhere = hypothesis.path().join("none/out.xml");
    let ended =
        score().args([reference.path(), hypothesis.path()]).arg("--junit").arg(nowhere).assert().code(6);
    ended.stderr(contains("cannot be written"));
}

#[test]
fn alignments_are_coloured_only_on_terminals() {
    let folder =
        folder(&[("a.txt", "the old door is blue and shut"), ("b.txt", "the moor is blue and not shut")]);
    let [a, b] = ["a.txt", "b.txt"].map(|name| folder.path().join(name));
    let plain = contains("the [-old-]{+moor+} [-door-] is blue and {+not+} shut");
    score()
        .args([&a, &b])
        .arg("--alignment")
        .assert()
        .code(0)
        .stdout(plain.clone().and(contains("\u{1b}").not()));
    let forced = score().args([&a, &b]).arg("--alignment").env("CLICOLOR_FORCE", "1").assert().code(0);
    forced.stdout(contains("\u{1b}[33mold→moor\u{1b}[0m"));
    let unwanted =
        score().args([&a, &b]).arg("--alignment").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").assert();
    unwanted.code(0).stdout(plain);
}

/// Compares the demo model's transcript with the reference; the expected counts are jiwer's, from the fixture.
#[test]
fn scores_a_transcript_of_the_demo_model() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = bare();
    program.args(["--model", "demo", "--language", "en", "--temperature", "0", "--chunk-length", "0"]);
    program
        .args(["--export", "json,srt", "--output-dir"])
        .arg(folder.path())
        .arg(fixture("long/short_en.flac"));
    Command::from_std(program).assert().code(0);
    let truth: Value = serde_json::from_slice(&fs::read(fixture("long/short_en.json")).unwrap()).unwrap();
    let reference: Value =
        serde_json::from_slice(&fs::read(fixture("reference/short_en.json")).unwrap()).unwrap();
    let phrases = truth["phrases"].as_array().unwrap();
    let truth_path = folder.path().join("truth.json");
    fs::write(&truth_path, json!({"segments": phrases}).to_string()).unwrap();

    let expected: Vec<u64> =
        serde_json::from_value(reference["variants"]["conditioned"]["errors"].clone()).unwrap();
    for name in ["short_en.json", "short_en.srt"] {
        let found = report(&truth_path, &folder.path().join(name), &["--normaliser", "basic"]);
        let words = &found["total"]["words"];
        let counts =
            ["substitutions", "deletions", "insertions", "reference"].map(|key| words[key].as_u64().unwrap());
        assert_eq!(counts.to_vec(), expected, "{name}: {found}");
        let starts = &found["total"]["timing"]["segments"]["starts"];
        assert!(starts["mean"].as_f64().unwrap() < 0.3, "{found}");
    }
}

#[test]
fn help_lists_the_gates() {
    let help = contains("--max-wer <RATE>").and(contains("--normaliser <NAME>")).and(contains("REFERENCE"));
    score().arg("--help").assert().code(0).stdout(help);
    Command::from_std({
        let mut program = bare();
        program.arg("--help");
        program
    })
    .assert()
    .stdout(contains("  7  a quality gate was not met").and(contains("score")));
}
