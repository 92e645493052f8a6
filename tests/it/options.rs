//! Options as people and scripts write them: repeated, negated, misspelt in the environment, as shares; long names.

use std::fs;

use serde_json::Value;

use crate::inputs::Tree;
use crate::program::{DEMO_WARNING, LEDGER, fixture, names};

fn speech() -> Tree {
    let tree = Tree::new(&[]);
    fs::copy(fixture("long/short_en.flac"), tree.at("talk.flac")).unwrap();
    tree
}

/// Returns a line of `--print-config` without its source.
fn setting(tree: &Tree, line: &[&str], variables: &[(&str, &str)], option: &str) -> String {
    let line = [line, &["--print-config"]].concat();
    let output = tree.program(&line).envs(variables.iter().copied()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{option} ="))).unwrap().to_owned();
    line.split('#').next().unwrap().trim().to_owned()
}

#[test]
fn formats_may_be_given_one_by_one() {
    let tree = speech();
    let output = tree.run(&["talk.flac", "-e", "srt", "--export", "vtt,txt", "-e", "srt"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(names(&tree.at("")), ["talk.flac", "talk.srt", "talk.txt", "talk.vtt"]);
}

#[test]
fn coverage_is_a_share_or_a_percentage() {
    let tree = speech();
    let code = |share: &str| {
        let option = format!("--fail-under-coverage={share}");
        let output = tree.run(&[
            "talk.flac",
            "--vad",
            "--no-speech-threshold",
            "0",
            "--logprob-threshold",
            "0",
            &option,
        ]);
        let said = String::from_utf8(output.stderr).unwrap();
        if output.status.code() == Some(7) {
            assert!(said.contains("and 95 % were asked for"), "{share}: {said}");
        }
        output.status.code().unwrap()
    };
    assert_eq!(["95%", "95", "0.95", "95 %", "0"].map(code), [7, 7, 7, 7, 0]);
    assert_eq!(["101", "150%", "-1", "most", "nan"].map(code), [2; 5]);
}

#[test]
fn every_switch_has_an_opposite() {
    let tree = speech();
    fs::write(tree.at("c.toml"), "vad = true\nno-resume = true\nquiet = true\n").unwrap();
    let file = ["talk.flac", "--config", "c.toml"];
    let in_file = |line: &[&str], option: &str| setting(&tree, &[&file[..], line].concat(), &[], option);
    assert_eq!(in_file(&[], "vad"), "vad = true");
    assert_eq!(in_file(&["--no-vad"], "vad"), "vad = false");
    assert_eq!(in_file(&["--no-vad", "--vad"], "vad"), "vad = true");
    assert_eq!(in_file(&["--resume"], "no-resume"), "no-resume = false");
    assert_eq!(in_file(&["--no-quiet", "--verbose"], "verbose"), "verbose = true");
    let variable = [("TRANSCRIBE_VAD", "1"), ("TRANSCRIBE_QUIET", "1"), ("TRANSCRIBE_DRY_RUN", "1")];
    let of =
        |line: &[&str], option: &str| setting(&tree, &[&["talk.flac"], line].concat(), &variable, option);
    assert_eq!(of(&["--vad", "--no-vad"], "vad"), "vad = false");
    assert_eq!(of(&["-q", "--no-quiet", "-v"], "quiet"), "quiet = false");
    assert_eq!(of(&[], "dry-run"), "dry-run = 1");
    let mut program = tree.program(&["talk.flac", "--no-dry-run"]);
    let output = program.envs(variable).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("The door is blue."));
    // Options with values have none, and neither has what is not a switch.
    assert!(tree.refused(&["talk.flac", "--no-language"]).contains("`--no-language`: unknown option"));
}

#[test]
fn variables_that_no_option_reads_are_reported() {
    let tree = speech();
    let mut program = tree.program(&["talk.flac"]);
    program.env("TRANSCRIBE_LANGAUGE", "de").env("TRANSCRIBE_XYZZY", "1").env("TRANSCRIBE_SHARDS", "3");
    let output = program.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let near = "warning: environment variable `TRANSCRIBE_LANGAUGE`: no option reads it; did you mean `TRANSCRIBE_LANGUAGE`?";
    assert!(said.contains(near), "{said}");
    assert!(said.contains("`TRANSCRIBE_XYZZY`: no option reads it\n") && !said.contains("SHARDS"), "{said}");
}

#[test]
fn numbers_of_json_have_no_noise() {
    let tree = speech();
    let line = ["talk.flac", "--export", "json", "--word-timestamps", "-o", "-"];
    let output = tree.run(&line);
    let json = String::from_utf8(output.stdout).unwrap();
    let digits = |number: &str| {
        number.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count()
    };
    let numbers = json.split([',', ':', '[', ']', '{', '}', ' ']).filter(|word| word.parse::<f64>().is_ok());
    let noisy: Vec<&str> = numbers.filter(|number| digits(number.split('e').next().unwrap()) > 9).collect();
    assert!(noisy.is_empty(), "{noisy:?}");
    // In openai's style they are openai's.
    let exact = tree.run(&[&line[..], &["--json-style", "openai"]].concat()).stdout;
    let [shown, exact] = [json.as_bytes(), &exact].map(|json| serde_json::from_slice::<Value>(json).unwrap());
    let score = |json: &Value| json["segments"][0]["no_speech_prob"].as_f64().unwrap();
    assert!(
        (score(&shown) - score(&exact)).abs() <= score(&exact) * 1e-7,
        "{} {}",
        score(&shown),
        score(&exact)
    );
}

#[test]
fn names_that_are_too_long_are_found_before_the_work() {
    let (long, longer) = (format!("{}.wav", "a".repeat(236)), format!("{}.wav", "b".repeat(246)));
    let tree = Tree::new(&[&long, &longer]);
    let refused = tree.refused(&[".", "--export", "srt"]);
    assert!(
        refused.contains("the name of its output has more than 247 bytes")
            && refused.contains("--output-template")
    );
    assert!(!tree.at(LEDGER).exists());
    let output = tree.run(&[&long, "--export", "srt"]);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), DEMO_WARNING);
    assert!(tree.at(&long).with_extension("srt").is_file());
    assert_eq!(names(&tree.at("")).len(), 3);
    assert_eq!(
        tree.run(&[".", "--export", "srt", "--output-template", "{index}.{ext}"]).status.code(),
        Some(0)
    );
}
