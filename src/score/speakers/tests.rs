//! Compares with pyannote.metrics and meeteval; the fixture comes from `fixtures/score/make_speakers.py`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::import::{ImportedSegment, ImportedTranscript};
use crate::score::{ErrorCounts, Normaliser};

type NamedTurn = (f64, f64, String);

#[derive(serde::Deserialize)]
struct Fixture {
    turns: Vec<TurnsCase>,
    texts: Vec<TextsCase>,
}

#[derive(serde::Deserialize)]
struct TurnsCase {
    reference: Vec<NamedTurn>,
    hypothesis: Vec<NamedTurn>,
    /// Reference, missed, false alarm and confused seconds, without and with a collar.
    errors: [[f64; 4]; 2],
    jer: f64,
}

#[derive(serde::Deserialize)]
struct TextsCase {
    reference: Vec<(String, String)>,
    hypothesis: Vec<(String, String)>,
    errors: u64,
    length: u64,
}

fn read_fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/score/speakers.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn named(turns: &[(f64, f64, &str)]) -> Vec<NamedTurn> {
    turns.iter().map(|(start, end, name)| (*start, *end, (*name).to_owned())).collect()
}

fn single(turns: &[NamedTurn]) -> TurnsByRecording {
    TurnsByRecording::from([("a".to_owned(), SpeakerTurns::from_named(turns.to_vec()))])
}

fn compared(reference: &[NamedTurn], hypothesis: &[NamedTurn]) -> SpeakerScore {
    compare_turns(&single(reference), &single(hypothesis)).unwrap()
}

fn parts(errors: &DiarizationErrors) -> [f64; 4] {
    [errors.reference, errors.missed, errors.false_alarm, errors.confused]
}

fn assert_near(found: &[f64], expected: &[f64], what: &dyn std::fmt::Debug) {
    assert!(
        found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
        "{found:?} {expected:?}: {what:?}"
    );
}

#[test]
fn counts_missed_false_and_confused_seconds() {
    let reference = named(&[(0.0, 10.0, "Anna"), (8.0, 12.0, "Ben"), (20.0, 21.0, "Carl")]);
    // X is Anna from 1 to 9, Y is Ben except for a second of Anna, and 13 to 14 is nobody.
    let hypothesis = named(&[(1.0, 9.0, "X"), (9.0, 12.0, "Y"), (13.0, 14.0, "X")]);
    let score = compared(&reference, &hypothesis);
    // Missed: 0 to 1, one of two from 8 to 10, and Carl. From 9 to 10 Y is Ben, so nobody is confused.
    assert_near(&parts(&score.errors), &[15.0, 4.0, 1.0, 0.0], &score);
    assert!((score.errors.error_rate() - 5.0 / 15.0).abs() < 1e-9);
    // Around 0, 8, 10, 12, 20 and 21 half a second each is not scored.
    assert_near(&parts(&score.errors_with_collar), &[12.5, 0.75 + 1.5 + 0.5, 1.0, 0.0], &score);
    // Anna 8 of 8 + 1 + 2 s, Ben 3 of 4 s, Carl none.
    assert!((score.jaccard.error_rate() - (3.0 / 11.0 + 0.25 + 1.0) / 3.0).abs() < 1e-9, "{score:?}");
    assert_eq!((score.reference_speakers, score.hypothesis_speakers), (3, 2));
    let matrix = &score.matrices[0];
    assert_eq!(matrix.shared, [[8.0, 1.0], [1.0, 3.0], [0.0, 0.0]]);
    assert_eq!(matrix.matches, [Some(0), Some(1), None]);
    assert_eq!(matrix.hypothesis, [("X".to_owned(), 9.0), ("Y".to_owned(), 3.0)]);

    let swapped = compared(&named(&[(0.0, 4.0, "A"), (4.0, 6.0, "B")]), &named(&[(0.0, 6.0, "X")]));
    assert_near(&parts(&swapped.errors), &[6.0, 0.0, 0.0, 2.0], &swapped);
}

#[test]
fn silence_has_no_rate_to_divide_by() {
    let found = named(&[(0.0, 2.0, "X")]);
    assert_eq!(compared(&[], &[]).errors.error_rate(), 0.0);
    assert_eq!(compared(&[], &found).errors.error_rate(), 1.0);
    assert_eq!(compared(&found, &[]).errors.error_rate(), 1.0);
    assert_eq!(compared(&found, &[]).jaccard.error_rate(), 1.0);
    assert_eq!(TurnsByRecording::new().len(), 0);
    assert_eq!(compare_turns(&TurnsByRecording::new(), &single(&found)).unwrap().errors.false_alarm, 2.0);
}

#[test]
fn several_recordings_are_compared_by_name() {
    let turns = |name: &str| SpeakerTurns::from_named(named(&[(0.0, 2.0, name)]));
    let side = |names: &[&str]| -> TurnsByRecording {
        names.iter().map(|name| ((*name).to_owned(), turns(name))).collect()
    };
    let score = compare_turns(&side(&["a", "b"]), &side(&["b", "c"])).unwrap();
    assert_eq!(parts(&score.errors), [4.0, 2.0, 2.0, 0.0]);
    let names: Vec<_> = score.matrices.iter().map(|matrix| matrix.recording.as_deref()).collect();
    assert_eq!(names, [Some("a"), Some("b"), Some("c")]);
    // One recording on each side is the same one under any name.
    assert_eq!(compare_turns(&side(&["a"]), &side(&["c"])).unwrap().errors.error_rate(), 0.0);
    assert!(compare_turns(&side(&["a", "b"]), &side(&[""])).unwrap_err().contains("one transcript"));
}

#[test]
fn too_many_speakers_are_an_error() {
    let crowd: Vec<NamedTurn> = (0..=MAX_SPEAKERS).map(|n| (0.0, 1.0, n.to_string())).collect();
    let why = compare_turns(&single(&crowd), &single(&[])).unwrap_err();
    assert_eq!(why, "1001 speakers; at most 1000 of a recording can be matched");
}

#[test]
fn rates_match_pyannote() {
    let cases = read_fixture().turns;
    assert!(cases.len() > 20);
    for TurnsCase { reference, hypothesis, errors, jer } in cases {
        let score = compared(&reference, &hypothesis);
        assert_near(&parts(&score.errors), &errors[0], &reference);
        assert_near(&parts(&score.errors_with_collar), &errors[1], &reference);
        assert_near(&[score.jaccard.error_rate()], &[jer], &reference);
    }
}

fn dialogue(lines: &[(String, String)]) -> ImportedTranscript {
    let segments = lines.iter().map(|(name, text)| ImportedSegment {
        speaker: Some(name.clone()).filter(|name| !name.is_empty()),
        text: text.clone(),
        ..ImportedSegment::default()
    });
    ImportedTranscript { segments: segments.collect(), ..ImportedTranscript::default() }
}

#[test]
fn words_of_speakers_match_meeteval() {
    let cases = read_fixture().texts;
    assert!(cases.len() > 20);
    for TextsCase { reference, hypothesis, errors, length } in cases {
        let found = speaker_word_errors(&dialogue(&reference), &dialogue(&hypothesis), &Normaliser::None);
        let found = found.map(|counts| (counts.errors(), counts.reference()));
        assert_eq!(found, Some((errors, length)), "{reference:?} {hypothesis:?}");
    }
}

#[test]
fn words_of_each_speaker_are_joined_in_time() {
    let lines = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
        lines.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let errors = |reference: &ImportedTranscript, hypothesis: &ImportedTranscript| {
        speaker_word_errors(reference, hypothesis, &Normaliser::English)
    };
    let mut reference = dialogue(&lines(&[("Anna", "Twenty"), ("Ben", "Yes."), ("Anna", "one doors")]));
    let hypothesis = dialogue(&lines(&[("0", "yes"), ("1", "21 doors"), ("", "sky")]));
    let insertion = ErrorCounts { hits: 3, insertions: 1, ..ErrorCounts::default() };
    assert_eq!(errors(&reference, &hypothesis), Some(insertion));
    for (segment, start) in reference.segments.iter_mut().zip([1.0, 2.0, 0.5]) {
        segment.start = Some(start);
    }
    // Now Anna says "one doors twenty".
    assert_eq!(errors(&reference, &hypothesis).unwrap().errors(), 3);
    assert_eq!(errors(&reference, &dialogue(&lines(&[("", "yes")]))), None);
}

/// Turns of a few speakers, in milliseconds; none has no length.
fn turns() -> impl Strategy<Value = Vec<NamedTurn>> {
    let turn = (0..30_000_u32, 1..6_000_u32, 0..4_u8).prop_map(|(start, length, name)| {
        (f64::from(start) / 1e3, f64::from(start + length) / 1e3, format!("N{name}"))
    });
    prop::collection::vec(turn, 0..20)
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(turns in turns()) {
        let score = compared(&turns, &turns);
        prop_assert!(score.errors.errors() < 1e-9 && score.errors_with_collar.errors() < 1e-9);
        prop_assert!(score.jaccard.error_rate() < 1e-9);
    }

    #[test]
    fn names_and_order_do_not_matter(
        reference in turns(),
        hypothesis in turns(),
        names in Just(vec!["d", "b", "c", "a"]).prop_shuffle(),
    ) {
        let renamed: Vec<NamedTurn> = hypothesis.iter().rev().map(|(start, end, name)| {
            (*start, *end, names[usize::from(name.as_bytes()[1] - b'0')].to_owned())
        }).collect();
        let (a, b) = (compared(&reference, &hypothesis), compared(&reference, &renamed));
        assert_near(&parts(&a.errors), &parts(&b.errors), &"renamed");
        assert_near(&parts(&a.errors_with_collar), &parts(&b.errors_with_collar), &"renamed");
    }

    #[test]
    fn swapped_sides_swap_missed_and_false(reference in turns(), hypothesis in turns()) {
        let (a, b) = (compared(&reference, &hypothesis).errors, compared(&hypothesis, &reference).errors);
        assert_near(
            &[a.missed, a.false_alarm, a.confused],
            &[b.false_alarm, b.missed, b.confused],
            &"swapped",
        );
        // What is not missed is right or confused.
        prop_assert!(a.missed + a.confused <= a.reference + 1e-6);
    }

    #[test]
    fn any_times_are_scored(rows in prop::collection::vec((any::<f64>(), any::<f64>(), "[ab]"), 0..12)) {
        let score = compared(&rows, &named(&[(0.0, 1.0, "x")]));
        prop_assert!(!score.errors.error_rate().is_nan() || rows.iter().any(|row| row.1.abs() > 1e300));
    }
}
