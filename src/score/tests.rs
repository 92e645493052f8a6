//! Compares with openai's normalisers and jiwer; fixtures come from `fixtures/score/make.py`.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::normalise::BasicNormaliser;
use super::*;
use crate::import::{ImportedSegment, ImportedWord};

fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/score").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn normalised_texts_match_openai() {
    let rows: Vec<Vec<String>> = fixture("normalise.json");
    assert!(rows.len() > 900);
    let basics = [(false, false), (true, false), (false, true), (true, true)].map(|(diacritics, letters)| {
        Normaliser::Basic(BasicNormaliser { remove_diacritics: diacritics, split_letters: letters })
    });
    let normalisers: Vec<Normaliser> = [Normaliser::English].into_iter().chain(basics).collect();
    for row in &rows {
        for (normaliser, expected) in normalisers.iter().zip(&row[1..]) {
            assert_eq!(normaliser.apply(&row[0]), *expected, "{normaliser:?} of {:?}", row[0]);
        }
    }
}

#[derive(serde::Deserialize)]
struct JiwerCase {
    texts: [String; 2],
    /// Hits, substitutions, insertions and deletions, of words and of characters.
    counts: [[u64; 4]; 2],
    /// WER, CER, MER, WIL.
    rates: [f64; 4],
}

#[test]
fn error_rates_match_jiwer() {
    let rows: Vec<JiwerCase> = fixture("rates.json");
    assert!(rows.len() > 40);
    for JiwerCase { texts: [reference, hypothesis], counts, rates } in rows {
        let (score, _) = score(&untimed(&reference), &untimed(&hypothesis), &Normaliser::English);
        for (found, [hits, substitutions, insertions, deletions]) in
            [score.words, score.characters].into_iter().zip(counts)
        {
            assert_eq!(
                found,
                ErrorCounts { hits, substitutions, insertions, deletions },
                "{reference:?} {hypothesis:?}"
            );
        }
        let found = [
            score.words.error_rate(),
            score.characters.error_rate(),
            score.words.match_error_rate(),
            score.words.information_lost(),
        ];
        for (found, expected) in found.into_iter().zip(rates) {
            assert!((found - expected).abs() < 1e-12, "{reference:?} {hypothesis:?}: {found} {expected}");
        }
    }
}

#[test]
fn normaliser_follows_the_language() {
    for english in ["en", "EN", "english", "English"] {
        assert_eq!(Normaliser::for_language(Some(english)), Normaliser::English);
    }
    for other in [None, Some("de"), Some("")] {
        assert_eq!(Normaliser::for_language(other), Normaliser::Basic(BasicNormaliser::default()));
    }
    assert_eq!(Normaliser::None.words("  A\n b\u{3000}c\t"), "A b c");
}

#[test]
fn hostile_texts_are_normalised_in_linear_time() {
    for part in ["[", "(", "$1", "1 ", " '", "and a ", "¢", "$0.", "x\u{301}", "double ", "999 hundred "] {
        let text = part.repeat(200_000 / part.len());
        // With a quadratic step this would not end in any reasonable time.
        Normaliser::English.apply(&text);
        Normaliser::Basic(BasicNormaliser::default()).apply(&text);
    }
}

fn untimed(text: &str) -> ImportedTranscript {
    let segment = ImportedSegment { text: text.into(), ..ImportedSegment::default() };
    ImportedTranscript { language: None, text: text.into(), segments: vec![segment] }
}

fn segment(start: f64, end: f64, text: &str, words: &[(f64, f64)]) -> ImportedSegment {
    let words = text.split(' ').zip(words).map(|(text, (start, end))| ImportedWord {
        start: Some(*start),
        end: Some(*end),
        text: text.into(),
        ..ImportedWord::default()
    });
    ImportedSegment {
        start: Some(start),
        end: Some(end),
        text: text.into(),
        speaker: None,
        words: words.collect(),
    }
}

fn timed(segments: Vec<ImportedSegment>) -> ImportedTranscript {
    let texts: Vec<&str> = segments.iter().map(|segment| segment.text.as_str()).collect();
    ImportedTranscript { language: None, text: texts.join(" "), segments }
}

/// Rounds to milliseconds.
fn rounded(errors: &[f64]) -> Vec<i64> {
    errors.iter().map(|error| (error * 1e3).round() as i64).collect()
}

#[test]
fn compares_times_of_matching_words() {
    let reference = timed(vec![segment(0.0, 1.0, "The door", &[]), segment(2.0, 3.0, "is blue.", &[])]);
    // One segment instead of two, and one word wrong.
    let hypothesis = timed(vec![segment(0.1, 3.3, "the moor is blue", &[])]);
    let timings = score(&reference, &hypothesis, &Normaliser::English).0.timings;
    assert_eq!(timings.len(), 1);
    assert_eq!((rounded(&timings[0].starts), rounded(&timings[0].ends)), (vec![100], vec![300]));

    // Word times on one side also apply to the segments of the other.
    let words = [(0.1, 0.4), (0.5, 0.9), (2.2, 2.4), (2.5, 3.3)];
    let hypothesis = timed(vec![segment(0.1, 3.3, "the moor is blue", &words)]);
    let timings = score(&reference, &hypothesis, &Normaliser::English).0.timings;
    assert_eq!(timings[0].level, TimingLevel::Segments);
    assert_eq!((rounded(&timings[0].starts), rounded(&timings[0].ends)), (vec![100, 200], vec![300]));

    // With word times on both sides, the word level comes first.
    let timings = score(&hypothesis, &hypothesis, &Normaliser::English).0.timings;
    assert_eq!(
        timings.iter().map(|timing| timing.level).collect::<Vec<_>>(),
        [TimingLevel::Words, TimingLevel::Segments]
    );
    assert_eq!((timings[0].starts.len(), timings[1].starts.len()), (4, 1));
    assert_eq!(score(&reference, &untimed("The door"), &Normaliser::English).0.timings, []);
}

#[test]
fn statistics_match_numpy() {
    // numpy.percentile([1, 2, 3, 4], [50, 95]) is [2.5, 3.85].
    let statistics = TimingStatistics::of(&[-4.0, 1.0, 3.0, -2.0]).unwrap();
    let expected =
        TimingStatistics { count: 4, mean: 2.5, median: 2.5, p95: statistics.p95, max: 4.0, bias: -0.5 };
    assert_eq!(statistics, expected);
    assert!((statistics.p95 - 3.85).abs() < 1e-12);
    assert_eq!(TimingStatistics::of(&[]), None);
}
