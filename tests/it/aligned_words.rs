//! Word times that are computed for formats that show them: where somebody speaks, and without changing the text.

use std::path::Path;

use serde_json::Value;

use crate::program::{bare, fixture};

/// Runs the program on two minutes of speech and returns the content of each output by its format.
fn outputs<const N: usize>(formats: [&str; N], line: &[&str]) -> [String; N] {
    let folder = tempfile::tempdir().unwrap();
    let mut program = bare();
    program.arg(fixture("long/long_en.flac")).args(["--model", "demo", "--language", "en", "--output-dir"]);
    let output =
        program.arg(folder.path()).args(["--export", &formats.join(",")]).args(line).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    formats.map(|format| {
        std::fs::read_to_string(folder.path().join(Path::new("long_en").with_extension(format))).unwrap()
    })
}

fn json(content: &str) -> Value {
    serde_json::from_str(content).unwrap()
}

fn has_words(transcript: &Value) -> bool {
    transcript["segments"].as_array().unwrap().iter().any(|segment| segment["words"].is_array())
}

#[test]
fn subtitles_have_word_times_and_the_same_text() {
    let [text, plain] = outputs(["txt", "json"], &[]);
    let [srt, same, with] = outputs(["srt", "txt", "json"], &[]);
    assert_eq!(same, text);
    let (plain, with) = (json(&plain), json(&with));
    assert_eq!(with["text"], plain["text"]);
    assert!(has_words(&with) && !has_words(&plain));
    let tokens = |transcript: &Value| -> Vec<Value> {
        transcript["segments"].as_array().unwrap().iter().map(|segment| segment["tokens"].clone()).collect()
    };
    assert_eq!(tokens(&with), tokens(&plain));
    // Without word times, subtitles are the segments.
    let [segments] = outputs(["srt"], &["--subtitles", "openai"]);
    let [wordless, json_too] = outputs(["srt", "json"], &["--no-word-timestamps"]);
    assert_eq!(wordless, segments);
    assert_ne!(srt, segments);
    assert!(!has_words(&json(&json_too)));
}

#[test]
fn words_are_where_somebody_speaks() {
    let truth = std::fs::read(fixture("long/long_en.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let time = |value: &Value, key: &str| value[key].as_f64().unwrap();
    let phrases: Vec<(f64, f64)> =
        truth["phrases"].as_array().unwrap().iter().map(|p| (time(p, "start"), time(p, "end"))).collect();
    // Seconds of all words between the phrases.
    let silent = |line: &[&str]| -> f64 {
        let [content] = outputs(["json"], line);
        let transcript = json(&content);
        let words = transcript["segments"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|segment| segment["words"].as_array().unwrap());
        words
            .map(|word| {
                let (start, end) = (time(word, "start"), time(word, "end"));
                let spoken: f64 = phrases.iter().map(|p| (p.1.min(end) - p.0.max(start)).max(0.0)).sum();
                end - start - spoken
            })
            .sum()
    };
    let (aligned, openai) = (silent(&["--align-words"]), silent(&["--word-timestamps"]));
    println!("seconds of words outside of speech: {aligned:.2} aligned, {openai:.2} as openai has them");
    assert!(aligned < 4.0 && openai > 3.0 * aligned, "{aligned} {openai}");
}
