//! Against openai's normalisers and jiwer: `fixtures/score/make.py`.

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
fn texts_are_normalised_as_openai_does() {
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
    /// Of words and of characters: hits, substitutions, insertions, deletions.
    counts: [[u64; 4]; 2],
    /// WER, CER, MER, WIL.
    rates: [f64; 4],
}

#[test]
fn rates_are_jiwers() {
    let rows: Vec<JiwerCase> = fixture("rates.json");
    assert!(rows.len() > 40);
    for JiwerCase { texts: [said, heard], counts, rates } in rows {
        let (score, _) = score(&spoken(&said), &spoken(&heard), &Normaliser::English);
        for (found, [hits, substitutions, insertions, deletions]) in
            [score.words, score.characters].into_iter().zip(counts)
        {
            assert_eq!(
                found,
                ErrorCounts { hits, substitutions, insertions, deletions },
                "{said:?} {heard:?}"
            );
        }
        let found = [
            score.words.error_rate(),
            score.characters.error_rate(),
            score.words.match_error_rate(),
            score.words.information_lost(),
        ];
        for (found, expected) in found.into_iter().zip(rates) {
            assert!((found - expected).abs() < 1e-12, "{said:?} {heard:?}: {found} {expected}");
        }
    }
}

#[test]
fn the_language_chooses_the_normaliser() {
    for english in ["en", "EN", "english", "English"] {
        assert_eq!(Normaliser::for_language(Some(english)), Normaliser::English);
    }
    for other in [None, Some("de"), Some("")] {
        assert_eq!(Normaliser::for_language(other), Normaliser::Basic(BasicNormaliser::default()));
    }
    assert_eq!(Normaliser::None.words("  A\n b\u{3000}c\t"), "A b c");
}

#[test]
fn hostile_texts_take_no_time() {
    for part in ["[", "(", "$1", "1 ", " '", "and a ", "¢", "$0.", "x\u{301}", "double ", "999 hundred "] {
        let text = part.repeat(200_000 / part.len());
        let started = std::time::Instant::now();
        Normaliser::English.apply(&text);
        Normaliser::Basic(BasicNormaliser::default()).apply(&text);
        assert!(started.elapsed().as_secs() < 20, "{part}");
    }
}

fn spoken(text: &str) -> ImportedTranscript {
    let segment = ImportedSegment { text: text.into(), ..ImportedSegment::default() };
    ImportedTranscript { language: None, text: text.into(), segments: vec![segment] }
}

fn segment(start: f64, end: f64, text: &str, words: &[(f64, f64)]) -> ImportedSegment {
    let words = text.split(' ').zip(words).map(|(text, (start, end))| ImportedWord {
        start: Some(*start),
        end: Some(*end),
        text: text.into(),
        probability: None,
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

/// Thousandths of a second.
fn rounded(errors: &[f64]) -> Vec<i64> {
    errors.iter().map(|error| (error * 1e3).round() as i64).collect()
}

#[test]
fn times_are_compared_where_words_are_the_same() {
    let said = timed(vec![segment(0.0, 1.0, "The door", &[]), segment(2.0, 3.0, "is blue.", &[])]);
    // One segment instead of two, and one word wrong.
    let heard = timed(vec![segment(0.1, 3.3, "the moor is blue", &[])]);
    let timings = score(&said, &heard, &Normaliser::English).0.timings;
    assert_eq!(timings.len(), 1);
    assert_eq!((rounded(&timings[0].starts), rounded(&timings[0].ends)), (vec![100], vec![300]));

    // Words' times on one side tell about the segment inside, too.
    let words = [(0.1, 0.4), (0.5, 0.9), (2.2, 2.4), (2.5, 3.3)];
    let heard = timed(vec![segment(0.1, 3.3, "the moor is blue", &words)]);
    let timings = score(&said, &heard, &Normaliser::English).0.timings;
    assert_eq!(timings[0].level, TimingLevel::Segments);
    assert_eq!((rounded(&timings[0].starts), rounded(&timings[0].ends)), (vec![100, 200], vec![300]));

    // With words on both sides, those of words come first.
    let timings = score(&heard, &heard, &Normaliser::English).0.timings;
    assert_eq!(
        timings.iter().map(|timing| timing.level).collect::<Vec<_>>(),
        [TimingLevel::Words, TimingLevel::Segments]
    );
    assert_eq!((timings[0].starts.len(), timings[1].starts.len()), (4, 1));
    assert_eq!(score(&said, &spoken("The door"), &Normaliser::English).0.timings, []);
}

#[test]
fn figures_are_numpys() {
    // numpy.percentile([1, 2, 3, 4], [50, 95]) is [2.5, 3.85].
    let figures = TimingStatistics::of(&[-4.0, 1.0, 3.0, -2.0]).unwrap();
    let expected =
        TimingStatistics { count: 4, mean: 2.5, median: 2.5, p95: figures.p95, max: 4.0, bias: -0.5 };
    assert_eq!(figures, expected);
    assert!((figures.p95 - 3.85).abs() < 1e-12);
    assert_eq!(TimingStatistics::of(&[]), None);
}
