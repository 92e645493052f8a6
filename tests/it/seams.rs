//! Words near a seam between two chunks are neither lost nor doubled, and chunking costs no accuracy.

use std::path::{Path, PathBuf};

use serde_json::Value;
use transcribe::audio::AudioInput;
use transcribe::decode::DecodeOptions;
use transcribe::engine::Engine;
use transcribe::time::seconds_of_frames;

use crate::parity::demo;
use crate::recording::{DecodedRecording, chunks_after, decode};

const RECORDINGS: [&str; 4] = ["long_en", "long_en_hole", "long_de", "long_es"];
/// Seconds around a seam within which a word counts as near it.
const NEAR: f64 = 3.0;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(name)
}

/// Returns the lowercase words without punctuation.
fn normalised_words(text: &str) -> Vec<String> {
    let letters = |c: char| if c.is_alphanumeric() { c } else { ' ' };
    text.to_lowercase()
        .chars()
        .map(letters)
        .collect::<String>()
        .split_whitespace()
        .map(String::from)
        .collect()
}

/// A word of the reference.
struct ReferenceWord {
    text: String,
    start: f64,
    end: f64,
}

/// Returns the language and the words of a recording.
fn reference(recording: &str) -> (String, Vec<ReferenceWord>) {
    let json = std::fs::read(fixture(&format!("{recording}.json"))).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let words =
        json["phrases"].as_array().unwrap().iter().flat_map(|phrase| phrase["words"].as_array().unwrap());
    let words = words.map(|word| ReferenceWord {
        text: normalised_words(word["word"].as_str().unwrap()).concat(),
        start: word["start"].as_f64().unwrap(),
        end: word["end"].as_f64().unwrap(),
    });
    (json["language"].as_str().unwrap().into(), words.collect())
}

/// The alignment of a hypothesis with the reference that has the fewest errors.
#[derive(Default)]
struct Alignment {
    /// Whether each reference word was substituted.
    substituted: Vec<bool>,
    /// Whether each reference word was deleted.
    deleted: Vec<bool>,
    /// The number of words inserted before each reference word, and after the last.
    inserted: Vec<usize>,
}

impl Alignment {
    fn of(reference: &[ReferenceWord], hypothesis: &[String]) -> Self {
        let (n, m) = (reference.len(), hypothesis.len());
        let mut cost = vec![vec![0usize; m + 1]; n + 1];
        for i in 0..=n {
            for j in 0..=m {
                cost[i][j] = match (i, j) {
                    (0, _) => j,
                    (_, 0) => i,
                    _ => {
                        let change = usize::from(reference[i - 1].text != hypothesis[j - 1]);
                        (cost[i - 1][j - 1] + change).min(cost[i - 1][j] + 1).min(cost[i][j - 1] + 1)
                    }
                };
            }
        }
        let mut alignment =
            Alignment { substituted: vec![false; n], deleted: vec![false; n], inserted: vec![0; n + 1] };
        let (mut i, mut j) = (n, m);
        while i + j > 0 {
            let same = i > 0 && j > 0 && reference[i - 1].text == hypothesis[j - 1];
            if i > 0 && j > 0 && cost[i][j] == cost[i - 1][j - 1] + usize::from(!same) {
                (i, j) = (i - 1, j - 1);
                alignment.substituted[i] = !same;
            } else if i > 0 && cost[i][j] == cost[i - 1][j] + 1 {
                i -= 1;
                alignment.deleted[i] = true;
            } else {
                j -= 1;
                alignment.inserted[i] += 1;
            }
        }
        alignment
    }

    fn errors(&self) -> usize {
        let count = |of: &[bool]| of.iter().filter(|is| **is).count();
        count(&self.substituted) + count(&self.deleted) + self.inserted.iter().sum::<usize>()
    }
}

/// Decodes a recording without its first `skipped` seconds, and returns the times of its seams.
fn decode_chunked(
    engine: &Engine,
    recording: &str,
    skipped: f64,
    language: &str,
    chunk_length: f64,
) -> (DecodedRecording, Vec<f64>) {
    let audio = AudioInput::file(fixture(&format!("{recording}.flac"))).unwrap();
    let chunks = chunks_after(&audio, (skipped * 16_000.0) as usize, 80, chunk_length);
    let seams = chunks.iter().skip(1).map(|chunk| seconds_of_frames(chunk.span.first as u64)).collect();
    let options = DecodeOptions { language: Some(language.parse().unwrap()), ..DecodeOptions::default() };
    (decode(engine, chunks, &options).unwrap(), seams)
}

#[test]
fn no_word_is_lost_or_doubled_at_a_seam() {
    let engine = demo(4, 4);
    let (mut seam_count, mut words_near) = (0, 0);
    for recording in RECORDINGS {
        let (language, words) = reference(recording);
        for chunk_length in [30.0, 60.0, 120.0] {
            let (decoded, seams) = decode_chunked(&engine, recording, 0.0, &language, chunk_length);
            let alignment = Alignment::of(&words, &normalised_words(&decoded.text));
            for seam in seams {
                seam_count += 1;
                let near: Vec<usize> = (0..words.len())
                    .filter(|&i| words[i].end > seam - NEAR && words[i].start < seam + NEAR)
                    .collect();
                words_near += near.len();
                for &i in &near {
                    let word = &words[i].text;
                    let what = format!("{recording}, {chunk_length} s, seam at {seam:.2}: `{word}`");
                    assert!(!alignment.deleted[i], "{what} is deleted");
                    assert_eq!(alignment.inserted[i], 0, "a word was inserted before {what}");
                }
            }
            assert!(
                decoded.segments.is_sorted_by(|a, b| a.start <= b.start),
                "{recording}, {chunk_length} s"
            );
        }
    }
    println!("{seam_count} seams, {words_near} words near them");
    assert!(seam_count >= 16 && words_near >= 40);
}

/// The demo model occasionally falls into repetitions, which one recording can decide; so each recording is decoded from
/// several starting points.
#[test]
fn chunking_costs_no_accuracy() {
    let engine = demo(8, 8);
    let lengths = [0.0, 30.0, 60.0];
    let (mut errors, mut total) = ([0; 3], 0);
    for recording in RECORDINGS {
        let (language, words) = reference(recording);
        for skipped in [3.7, 11.1, 18.5] {
            let words: Vec<ReferenceWord> = words
                .iter()
                .filter(|word| word.start >= skipped)
                .map(|word| ReferenceWord { text: word.text.clone(), ..*word })
                .collect();
            total += words.len();
            for (errors, chunk_length) in errors.iter_mut().zip(lengths) {
                let (decoded, _) = decode_chunked(&engine, recording, skipped, &language, chunk_length);
                *errors += Alignment::of(&words, &normalised_words(&decoded.text)).errors();
            }
        }
    }
    println!("errors in {total} words at chunk lengths {lengths:?}: {errors:?}");
    assert!(errors[1] <= errors[0] && errors[2] <= errors[0], "{errors:?} of {total}");
}
