//! `transcribe score` on who speaks when, as a black box: RTTM files, labelled transcripts, limits and reports.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty};
use serde_json::{Value, json};

use crate::program::bare;

const RTTM: &str =
    "SPEAKER talk 1 0.0 4.0 <NA> <NA> Anna <NA> <NA>\nSPEAKER talk 1 4.0 4.0 <NA> <NA> Ben <NA> <NA>\n";
/// A second of Ben is taken for Anna.
const FOUND: &str =
    "SPEAKER x 1 0.0 5.0 <NA> <NA> S0 <NA> <NA>\nSPEAKER x 1 5.0 3.0 <NA> <NA> S1 <NA> <NA>\n";
const TRUTH_VTT: &str = "WEBVTT\n\n00:00.000 --> 00:04.000\n<v Anna>The door is blue.\n\n\
                         00:04.000 --> 00:08.000\n<v Ben>It is two.\n";
const JSON: &str = r#"{"text": " The door is blue. It is 2!", "language": "en", "segments": [
    {"start": 0.0, "end": 5.0, "text": " The door is blue. It", "speaker": "SPEAKER_00"},
    {"start": 5.0, "end": 8.0, "text": " is 2!", "speaker": "SPEAKER_01"}]}"#;

fn score() -> Command {
    let mut program = Command::from_std(bare());
    program.arg("score");
    program
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
fn turns_are_compared_and_shown() {
    let folder = folder(&[("truth.rttm", RTTM), ("talk.rttm", FOUND)]);
    let shown = score().current_dir(folder.path()).args(["truth.rttm", "talk.rttm"]).assert().code(0);
    let expected = "talk
  DER 12.50 %: missed 0.00 %, false alarm 0.00 %, confused 12.50 %
  DER 10.71 % with a collar of 0.25 s  JER 22.50 %
  8.0 s of 2 speakers; 2 found
                  S0 (5.0 s)  S1 (3.0 s)
    Anna (4.0 s)        4.0*        0.0
    Ben (4.0 s)         1.0         3.0*
";
    shown.stdout(expected).stderr(is_empty());
}

#[test]
fn json_has_seconds_speakers_and_matches() {
    let folder = folder(&[("truth.rttm", RTTM), ("talk.rttm", FOUND)]);
    let found = report(&folder.path().join("truth.rttm"), &folder.path().join("talk.rttm"), &[]);
    let pair = &found["pairs"][0];
    assert_eq!(pair["der"], 0.125);
    assert_eq!(
        pair["speakers"]["seconds"],
        json!({"reference": 8.0, "missed": 0.0, "false_alarm": 0.0, "confused": 1.0})
    );
    assert_eq!(pair["speakers"]["with_collar"]["collar"], 0.25);
    let recording = &pair["speakers"]["recordings"][0];
    assert_eq!(recording["reference"][1], json!({"name": "Ben", "seconds": 4.0, "is": "S1"}));
    assert_eq!(recording["shared"], json!([[4.0, 0.0], [1.0, 3.0]]));
    assert_eq!(found["total"]["speakers"]["reference"], 2);
    for absent in ["wer", "cpwer", "normaliser"] {
        assert_eq!(pair[absent], Value::Null, "{absent}");
    }
}

#[test]
fn labelled_transcripts_have_rates_of_words_and_turns() {
    let folder = folder(&[
        ("truth.vtt", TRUTH_VTT),
        ("truth.txt", "Anna: The door is blue.\n\nBen: It is two.\n"),
        ("truth.stm", "talk 1 Anna 0 4 <o> The door is blue.\ntalk 1 Ben 4 8 <o> It is two.\n"),
        ("truth.rttm", RTTM),
        ("talk.json", JSON),
        ("plain.txt", "The door is blue. It is two."),
    ]);
    let at = |name: &str| folder.path().join(name);
    let found = report(&at("truth.vtt"), &at("talk.json"), &[]);
    let total = &found["total"];
    assert_eq!(total, &report(&at("truth.stm"), &at("talk.json"), &[])["total"]);
    // "It" is Ben's, but Anna is said to say it: one insertion and one deletion.
    assert_eq!(
        (&total["wer"], &total["cpwer"], &total["der"]),
        (&json!(0.0), &json!(2.0 / 7.0), &json!(0.125))
    );
    assert_eq!(total["speaker_words"]["insertions"], 1);
    // Names before the lines of a text are labels if there are labels to compare them with.
    let found = report(&at("truth.txt"), &at("talk.json"), &[]);
    assert_eq!((&found["total"]["wer"], &found["total"]["cpwer"]), (&json!(0.0), &json!(2.0 / 7.0)));
    assert_eq!(found["total"]["der"], Value::Null);
    let found = report(&at("truth.txt"), &at("plain.txt"), &[]);
    assert_eq!(found["total"]["words"]["deletions"], 2);
    // With `--rttm` the text is not looked at.
    let found = report(&at("truth.vtt"), &at("talk.json"), &["--rttm"]);
    assert_eq!((&found["total"]["wer"], &found["total"]["der"]), (&Value::Null, &json!(0.125)));
    let found = report(&at("truth.rttm"), &at("talk.json"), &[]);
    assert_eq!(found["total"]["der"], 0.125);
    let shown = score().args([at("truth.vtt"), at("talk.json")]).assert().code(0);
    shown.stdout(contains("  cpWER 28.57 %: 0 substituted, 1 deleted, 1 inserted\n  DER 12.50 %"));
}

#[test]
fn files_under_other_names_are_rttm_if_asked_for() {
    let folder = folder(&[("truth.txt", RTTM), ("talk.seg", FOUND), ("talk.json", JSON)]);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(report(&at("truth.txt"), &at("talk.seg"), &["--rttm"])["total"]["der"], 0.125);
    assert_eq!(report(&at("truth.txt"), &at("talk.json"), &["--rttm"])["total"]["der"], 0.125);
    let unknown = score().args([at("truth.txt"), at("talk.seg")]).assert().code(1);
    unknown.stderr(contains("not a transcript in a supported format"));
    let text = score().args([at("truth.txt"), at("talk.seg")]).env("TRANSCRIBE_RTTM", "1").assert();
    text.code(0).stdout(contains("DER 12.50 %"));
}

#[test]
fn folders_pair_turns_and_limits_apply() {
    let reference = folder(&[("one.rttm", RTTM), ("two.rttm", RTTM), ("two.txt", "x")]);
    let hypothesis = folder(&[("one.txt", "y"), ("one.json", JSON), ("two.rttm", RTTM)]);
    let found = report(reference.path(), hypothesis.path(), &["--max-der", "7%"]);
    // The first pair has an error of 1 s in 8 s, the second none.
    assert_eq!(found["total"]["der"], 0.0625);
    assert_eq!(
        found["limits"][0],
        json!({"limit": "max-der", "pair": null, "max": 0.07, "value": 0.0625, "met": true})
    );
    let missed = |options: &[&str], message: &str| {
        let ended = score().args([reference.path(), hypothesis.path()]).args(options).assert().code(7);
        ended.stdout(contains("all 2\n  DER 6.25 %")).stderr(contains(message));
    };
    missed(&["--max-der", "5%"], "error: `--max-der 5 %`: the diarization error rate is 6.25 %");
    missed(&["--max-cpwer", "5%"], "error: `--max-cpwer 5 %`: no text of speakers to compare");
    let junit = hypothesis.path().join("out.xml");
    let options = ["--per-file", "--max-der", "10%", "--junit"];
    let ended =
        score().args([reference.path(), hypothesis.path()]).args(options).arg(&junit).assert().code(7);
    ended.stderr(contains("in `one` is 12.5 %").and(contains("`two`").not()));
    let xml = fs::read_to_string(&junit).unwrap();
    let xml = roxmltree::Document::parse(&xml).unwrap();
    let names: Vec<_> = xml.descendants().filter(|node| node.has_tag_name("testcase")).collect();
    let names: Vec<_> = names.iter().map(|case| case.attribute("name").unwrap()).collect();
    assert_eq!(names, ["one", "two", "--max-der 10 % one", "--max-der 10 % two"]);
    let text = xml.descendants().find(|node| node.has_tag_name("system-out")).unwrap().text().unwrap();
    assert!(text.starts_with("der 0.125000, jer 0.225000, 8.000 s of 2 speakers"), "{text}");
}

#[test]
fn what_lacks_speakers_is_an_error_of_its_pair() {
    let folder = folder(&[
        ("truth.rttm", RTTM),
        ("plain.txt", "x"),
        ("broken.rttm", "SPEAKER a 1 x 1 <NA> <NA> A\n"),
        ("two.rttm", &(RTTM.to_owned() + FOUND)),
        ("talk.json", JSON),
    ]);
    let fails = |reference: &str, hypothesis: &str, message: &str| {
        let ended = score().current_dir(folder.path()).args([reference, hypothesis]).assert().code(1);
        ended.stderr(contains(message)).stdout(is_empty());
    };
    fails(
        "truth.rttm",
        "plain.txt",
        "error: `plain.txt`: has no speakers with times, which `truth.rttm` requires\nhint: use",
    );
    fails("truth.rttm", "broken.rttm", "`broken.rttm`: line 1: `x` is not a number of seconds");
    fails("two.rttm", "talk.json", "several recordings cannot be compared with one transcript");
    // The same recordings on both sides are compared by name.
    let shown = score().current_dir(folder.path()).args(["two.rttm", "two.rttm"]).assert().code(0);
    shown.stdout(contains("DER 0.00 %").and(contains("16.0 s of 4 speakers; 4 found")));
    let both = score().args(["a", "b", "--rttm", "--alignment"]).assert().code(2);
    both.stderr(contains("cannot be used with"));
}
