//! What is said near a seam between two chunks is neither lost nor doubled, and cutting costs no accuracy.

use std::path::{Path, PathBuf};

use serde_json::Value;
use transcribe::audio::AudioInput;
use transcribe::decode::DecodeOptions;
use transcribe::engine::Engine;
use transcribe::time::seconds_of_frames;

use crate::parity::demo;
use crate::recording::{Heard, decode, parts_from};

const RECORDINGS: [&str; 4] = ["long_en", "long_en_hole", "long_de", "long_es"];
/// Seconds on either side of a seam where a word counts as near it.
const NEAR: f64 = 3.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(name)
}

fn plain(text: &str) -> Vec<String> {
    let letters = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    text.to_lowercase()
        .chars()
        .map(letters)
        .collect::<String>()
        .split_whitespace()
        .map(String::from)
        .collect()
}

/// A word that was said.
struct Word {
    text: String,
    start: f64,
    end: f64,
}

/// The language of a recording, and what is said in it.
fn truth(recording: &str) -> (String, Vec<Word>) {
    let json = std::fs::read(fixture(&format!("{recording}.json"))).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let words =
        json["phrases"].as_array().unwrap().iter().flat_map(|phrase| phrase["words"].as_array().unwrap());
    let words = words.map(|word| Word {
        text: plain(word["word"].as_str().unwrap()).concat(),
        start: word["start"].as_f64().unwrap(),
        end: word["end"].as_f64().unwrap(),
    });
    (json["language"].as_str().unwrap().into(), words.collect())
}

/// How the words heard stand against those said, with as few differences as possible.
#[derive(Default)]
struct Alignment {
    /// Of each word said, whether another one was heard in its place, and whether none was.
    wrong: Vec<bool>,
    lost: Vec<bool>,
    /// Words heard before each word said and behind the last that nobody said.
    added: Vec<usize>,
}

impl Alignment {
    fn of(said: &[Word], heard: &[String]) -> Self {
        let (n, m) = (said.len(), heard.len());
        let mut cost = vec![vec![0usize; m + 1]; n + 1];
        for i in 0..=n {
            for j in 0..=m {
                cost[i][j] = match (i, j) {
                    (0, _) => j,
                    (_, 0) => i,
                    _ => {
                        let change = usize::from(said[i - 1].text != heard[j - 1]);
                        (cost[i - 1][j - 1] + change).min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1)
                    }
                };
            }
        }
        let mut alignment = Alignment { wrong: vec![false; n], lost: vec![false; n], added: vec![0; n + 1] };
        let (mut i, mut j) = (n, m);
        while i + j > 0 {
            let same = i > 0 && j > 0 && said[i - 1].text == heard[j - 1];
            if i > 0 && j > 0 && cost[i][j] == cost[i - 1][j - 1] + usize::from(!same) {
                (i, j) = (i - 1, j - 1);
                alignment.wrong[i] = !same;
            } else if i > 0 && cost[i][j] == cost[i - 1][j] + 1 {
                i -= 1;
                alignment.lost[i] = true;
            } else {
                j -= 1;
                alignment.added[i] += 1;
            }
        }
        alignment
    }

    fn errors(&self) -> usize {
        let count = |of: &[bool]| of.iter().filter(|is| **is).count();
        count(&self.wrong) + count(&self.lost) + self.added.iter().sum::<usize>()
    }
}

/// What is heard of a recording without its first seconds in chunks so long, and where its seams are.
fn hear(
    engine: &Engine,
    recording: &str,
    skipped: f64,
    language: &str,
    chunk_length: f64,
) -> (Heard, Vec<f64>) {
    let audio = AudioInput::file(fixture(&format!("{recording}.flac"))).unwrap();
    let parts = parts_from(&audio, (skipped * 16_000.0) as usize, 80, chunk_length);
    let seams = parts.iter().skip(1).map(|part| seconds_of_frames(part.span.first as u64)).collect();
    let options = DecodeOptions { language: Some(language.parse().unwrap()), ..DecodeOptions::default() };
    (decode(engine, parts, &options).unwrap(), seams)
}

#[test]
fn chunks_lose_and_double_nothing_at_their_seams() {
    let engine = demo(4, 4);
    let (mut seams_seen, mut words_near) = (0, 0);
    for recording in RECORDINGS {
        let (language, said) = truth(recording);
        for chunk_length in [30.0, 60.0, 120.0] {
            let (heard, seams) = hear(&engine, recording, 0.0, &language, chunk_length);
            let alignment = Alignment::of(&said, &plain(&heard.text));
            for seam in seams {
                seams_seen += 1;
                let near: Vec<usize> = (0..said.len())
                    .filter(|&i| said[i].end > seam - NEAR && said[i].start < seam + NEAR)
                    .collect();
                words_near += near.len();
                for &i in &near {
                    let word = &said[i].text;
                    let what = format!("{recording}, {chunk_length} s, seam at {seam:.2}: `{word}`");
                    assert!(!alignment.lost[i], "{what} is lost");
                    assert_eq!(alignment.added[i], 0, "something was added before {what}");
                }
            }
            assert!(heard.segments.is_sorted_by(|a, b| a.start <= b.start), "{recording}, {chunk_length} s");
        }
    }
    println!("{seams_seen} seams, {words_near} words near them");
    assert!(seams_seen >= 16 && words_near >= 40);
}

/// The demo model runs into a loop now and then, which one recording more or less decides: many beginnings, then,
/// of every recording.
#[test]
fn cutting_costs_no_accuracy() {
    let engine = demo(8, 8);
    let lengths = [0.0, 30.0, 60.0];
    let (mut errors, mut words) = ([0; 3], 0);
    for recording in RECORDINGS {
        let (language, said) = truth(recording);
        for skipped in [3.7, 11.1, 18.5] {
            let said: Vec<Word> = said
                .iter()
                .filter(|word| word.start >= skipped)
                .map(|word| Word { text: word.text.clone(), ..*word })
                .collect();
            words += said.len();
            for (errors, chunk_length) in errors.iter_mut().zip(lengths) {
                let (heard, _) = hear(&engine, recording, skipped, &language, chunk_length);
                *errors += Alignment::of(&said, &plain(&heard.text)).errors();
            }
        }
    }
    println!("of {words} words wrong, lost or added at chunk lengths {lengths:?}: {errors:?}");
    assert!(errors[1] <= errors[0] && errors[2] <= errors[0], "{errors:?} of {words}");
}
