//! What survives in a journal: kills at every byte, damage, changed work, and other processes.

use std::fs;

use super::record::language_guess;
use super::*;
use crate::chunking::ChunkSpan;
use crate::decode::{DecodedChunk, Handover};
use crate::transcript::{DecisionRule, RejectedAttempt, RejectionReason, Segment, WindowDecision, Word};

fn fingerprint(model: &str) -> Fingerprint {
    serde_json::from_value(serde_json::json!({
        "format": 1, "program": "1.0.0", "model": model, "device": "cpu", "options": "none",
        "input": {"bytes": 7, "sha256": "00"},
    }))
    .unwrap()
}

/// With numbers that have no short decimal form.
fn chunk(index: usize) -> JournaledChunk {
    let third = (index + 1) as f64 / 3.0;
    let segment = Segment {
        id: 0,
        seek: index * 1_000,
        start: third,
        end: third + 0.1 + 0.2,
        text: " \"quoted\"\n→ \u{1F600}".into(),
        tokens: vec![50364, 1, 2],
        temperature: 0.0,
        avg_logprob: -f64::MIN_POSITIVE * third,
        compression_ratio: 1.0 / 0.3,
        no_speech_prob: f64::from(0.1_f32),
        language: Some("de".into()),
        speaker: None,
        words: Some(vec![Word {
            word: " \"quoted\"".into(),
            start: third,
            end: third,
            probability: third,
            speaker: None,
        }]),
    };
    let handover = Handover { seek: index * 1_000 + 999, prompt: vec![1, 2, 3], last_speech: 1.5 };
    let rejected = RejectedAttempt { temperature: third, faults: vec![RejectionReason::Logprob] };
    let decision = WindowDecision {
        rule: DecisionRule::Likeliest,
        rejected: vec![rejected],
        ..WindowDecision::default()
    };
    let first = index * 1_000;
    let (end, follows) = (first + 1_000, index % 2 == 1);
    let span = ChunkSpan { first, end, visible: end, context: None, limit: Some(first), follows };
    JournaledChunk {
        index,
        span,
        decoded: DecodedChunk {
            segments: vec![segment],
            tokens: vec![1, 2],
            decisions: vec![decision],
            handover,
        },
    }
}

fn german() -> LanguageGuess {
    language_guess("de", vec![("en".into(), 0.1), ("de".into(), 0.9)]).unwrap()
}

struct JournalFolder(tempfile::TempDir);

impl JournalFolder {
    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a journal of three chunks, finished in another order than that of time.
    fn new() -> Self {
        let folder = Self::empty();
        let mut journal = folder.open().journal;
        journal.append_language(&german()).unwrap();
        for index in [1, 0, 2] {
            journal.append_chunk(&chunk(index)).unwrap();
        }
        folder
    }

    fn path(&self) -> PathBuf {
        self.0.path().join(".talk.transcribe")
    }

    fn open(&self) -> OpenedJournal {
        let opened = Journal::open(&self.path(), &fingerprint("tiny"), true).unwrap();
        assert!(opened.write_error.is_none());
        opened
    }

    fn chunks(&self) -> Vec<usize> {
        self.open().resumed.chunks.into_keys().collect()
    }
}

#[test]
fn finished_chunks_are_read_back_bit_for_bit() {
    let folder = JournalFolder::new();
    for _ in 0..2 {
        let opened = folder.open();
        assert!(opened.discard_reason.is_none());
        assert_eq!(opened.resumed.language, Some(german()));
        assert_eq!(opened.resumed.chunks.into_values().collect::<Vec<_>>(), [0, 1, 2].map(chunk));
    }
}

/// Records as released versions have written them, so that a rename in this crate cannot change the file.
#[test]
fn records_keep_their_names_on_disk() {
    let folder = JournalFolder::empty();
    let mut journal = folder.open().journal;
    journal.append_language(&german()).unwrap();
    journal.append_chunk(&chunk(1)).unwrap();
    journal.append_discard(1).unwrap();
    journal.append_writing(vec!["talk.srt".into()]).unwrap();
    let content = fs::read_to_string(folder.path()).unwrap();
    let records: Vec<&str> = content.lines().map(|line| line.splitn(3, ' ').last().unwrap()).collect();
    assert_eq!(
        records,
        [
            r#"{"work":{"format":1,"program":"1.0.0","model":"tiny","device":"cpu","options":"none","input":{"bytes":7,"sha256":"00"}}}"#,
            r#"{"language":{"code":"de","probabilities":[["en",0.1],["de",0.9]]}}"#,
            r#"{"finished":{"index":1,"place":{"stretch":{"first":1000,"end":2000,"visible":2000,"limit":1000},"follows":true},"decoded":{"segments":[{"id":0,"seek":1000,"start":0.6666666666666666,"end":0.9666666666666666,"text":" \"quoted\"\n→ 😀","tokens":[50364,1,2],"temperature":0.0,"avg_logprob":-1.483382572338134e-308,"compression_ratio":3.3333333333333335,"no_speech_prob":0.10000000149011612,"language":"de","words":[{"word":" \"quoted\"","start":0.6666666666666666,"end":0.6666666666666666,"probability":0.6666666666666666}]}],"said":[1,2],"decisions":[{"seek":0,"frames":0,"rule":"likeliest","temperature":0.0,"rejected":[{"temperature":0.6666666666666666,"faults":["logprob"]}]}],"handover":{"seek":1999,"prompt":[1,2,3],"last_speech":1.5}}}}"#,
            r#"{"discard":{"from":1}}"#,
            r#"{"writing":{"outputs":["talk.srt"]}}"#,
        ]
    );
}

#[test]
fn chunks_with_numbers_json_cannot_represent_are_left_out() {
    let folder = JournalFolder::new();
    let mut infinite = chunk(3);
    infinite.decoded.segments[0].avg_logprob = f64::NEG_INFINITY;
    folder.open().journal.append_chunk(&infinite).unwrap();
    assert_eq!(folder.chunks(), [0, 1, 2]);
}

#[test]
fn a_cut_loses_only_what_is_behind_it() {
    let folder = JournalFolder::new();
    let whole = fs::read(folder.path()).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
    assert_eq!(ends.len(), 5);
    for length in 0..=whole.len() {
        fs::write(folder.path(), &whole[..length]).unwrap();
        let intact = ends.iter().filter(|end| **end <= length).count();
        let opened = folder.open();
        let chunks: Vec<usize> = opened.resumed.chunks.keys().copied().collect();
        let expected: &[usize] = match intact {
            0..=2 => &[],
            3 => &[1],
            4 => &[0, 1],
            _ => &[0, 1, 2],
        };
        let has_language = opened.resumed.language.is_some();
        assert_eq!((chunks.as_slice(), has_language), (expected, intact >= 2), "{length}");
        // What is appended then is found as well.
        let mut journal = opened.journal;
        journal.append_chunk(&chunk(7)).unwrap();
        drop(journal);
        assert_eq!(folder.chunks(), [expected, &[7]].concat(), "{length}");
    }
}

#[test]
fn a_flipped_bit_is_detected() {
    let folder = JournalFolder::new();
    let whole = fs::read(folder.path()).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(folder.path(), &damaged).unwrap();
        let before = ends.iter().filter(|end| **end < at).count();
        let chunks = folder.open().resumed.chunks;
        assert_eq!(chunks.len(), before.saturating_sub(2), "{at}");
        assert!(chunks.values().all(|found| *found == chunk(found.index)), "{at}");
    }
}

/// Returns the lines of the journal without their checksums.
fn lines(folder: &JournalFolder) -> Vec<String> {
    let content = fs::read_to_string(folder.path()).unwrap();
    content.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

/// Writes the journal anew, each line with the right checksum.
fn write_lines(folder: &JournalFolder, lines: &[String]) {
    fs::remove_file(folder.path()).unwrap();
    let mut log = RecordLog::open_exclusive(&folder.path()).unwrap();
    for line in lines {
        log.append_text(line).unwrap();
    }
}

#[test]
fn records_that_do_not_belong_together_discard_everything() {
    let whole = lines(&JournalFolder::new());
    let other = {
        let folder = JournalFolder::empty();
        folder.open().journal.append_chunk(&chunk(0)).unwrap();
        lines(&folder)
    };
    let with = |at: usize, line: String| {
        let mut changed = whole.clone();
        changed[at] = line;
        changed
    };
    let changes = [
        // The probability of a word, in the first, a middle and the last chunk.
        with(2, whole[2].replacen("\"probability\":0.", "\"probability\":0.1", 1)),
        with(3, whole[3].replacen("\"probability\":0.", "\"probability\":0.1", 1)),
        with(4, whole[4].replacen("\"probability\":", "\"probability\":1", 1)),
        // The detected language.
        with(1, whole[1].replacen("de", "en", 1)),
        // A record of another journal, one that is missing, two in another order, one twice, one without its digest.
        with(2, other[1].clone()),
        [&whole[..2], &whole[3..]].concat(),
        [&whole[..2], &[whole[3].clone(), whole[2].clone()], &whole[4..]].concat(),
        [&whole[..], &whole[4..]].concat(),
        with(4, whole[4].split_once(' ').unwrap().1.to_owned()),
    ];
    for (index, changed) in changes.into_iter().enumerate() {
        let folder = JournalFolder::new();
        assert_ne!(changed, whole, "{index}");
        write_lines(&folder, &changed);
        let opened = folder.open();
        assert_eq!(opened.discard_reason, Some(ALTERED), "{index}");
        assert!(opened.resumed.is_empty(), "{index}");
        // It starts anew, and is whole again.
        let mut journal = opened.journal;
        journal.append_chunk(&chunk(7)).unwrap();
        drop(journal);
        let opened = folder.open();
        assert_eq!((opened.discard_reason, opened.resumed.chunks.into_keys().collect()), (None, vec![7]));
    }
    let folder = JournalFolder::new();
    write_lines(&folder, &whole);
    assert!(folder.open().discard_reason.is_none());
}

/// A journal of a version that did not bind its records.
#[test]
fn a_journal_of_an_earlier_version_starts_anew_and_says_why() {
    let folder = JournalFolder::new();
    let plain: Vec<String> =
        lines(&folder).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    let earlier = plain[0].replacen("\"format\":1", "\"format\":0", 1);
    write_lines(&folder, &[&[earlier], &plain[1..]].concat());
    let opened = folder.open();
    assert_eq!(opened.discard_reason, Some("it was written by another version"));
    assert!(opened.resumed.is_empty());
    drop(opened);
    // Without a change of the version it would be taken for one that was changed.
    let folder = JournalFolder::new();
    write_lines(&folder, &plain);
    assert_eq!(folder.open().discard_reason, Some(ALTERED));
    // Once all outputs are there, it is removed in any case.
    let folder = JournalFolder::new();
    let output = folder.0.path().join("talk.srt");
    fs::write(&output, "").unwrap();
    let writing = serde_json::json!({"writing": {"outputs": [output]}}).to_string();
    write_lines(&folder, &[&plain[..], &[writing]].concat());
    Journal::remove_if_written(&folder.path());
    assert!(!folder.path().exists());
}

#[test]
fn accepts_any_content_and_rejects_folders() {
    let folder = JournalFolder::new();
    let contents = [b"\n\n\n".to_vec(), vec![0; 9_000], b"ffffffff {}\n".to_vec(), vec![0xff; 100]];
    for content in contents {
        fs::write(folder.path(), content).unwrap();
        let opened = folder.open();
        assert!(opened.resumed.chunks.is_empty() && opened.discard_reason.is_some());
    }
    fs::create_dir(folder.path()).unwrap();
    assert!(matches!(Journal::open(&folder.path(), &fingerprint("tiny"), true), Err(LockError::Io(_))));
}

#[test]
#[cfg(unix)]
fn does_not_follow_links() {
    let folder = JournalFolder::new();
    let other = folder.0.path().join("other");
    fs::write(&other, "precious").unwrap();
    fs::remove_file(folder.path()).unwrap();
    for target in [&other, &folder.0.path().join("none")] {
        let _ = fs::remove_file(folder.path());
        std::os::unix::fs::symlink(target, folder.path()).unwrap();
        let opened = Journal::open(&folder.path(), &fingerprint("tiny"), false);
        assert!(matches!(opened, Err(LockError::Io(_))));
    }
    assert_eq!(fs::read_to_string(other).unwrap(), "precious");
    assert!(!folder.0.path().join("none").exists());
}

#[test]
fn a_changed_fingerprint_starts_anew() {
    let change = |fingerprint: &mut Fingerprint, field: &str| {
        let mut value = serde_json::to_value(&*fingerprint).unwrap();
        match field {
            "input" => value["input"]["bytes"] = 8.into(),
            "format" => value["format"] = 2.into(),
            _ => value[field] = "other".into(),
        }
        *fingerprint = serde_json::from_value(value).unwrap();
    };
    for (field, reason) in [
        ("format", "another version"),
        ("program", "another version"),
        ("input", "input"),
        ("model", "model"),
        ("device", "device"),
        ("options", "options"),
    ] {
        let folder = JournalFolder::new();
        let mut changed = fingerprint("tiny");
        change(&mut changed, field);
        let opened = Journal::open(&folder.path(), &changed, true).unwrap();
        assert!(opened.discard_reason.unwrap().contains(reason), "{field}");
        assert!(opened.resumed.is_empty());
    }
    let folder = JournalFolder::new();
    let opened = Journal::open(&folder.path(), &fingerprint("tiny"), false).unwrap();
    assert!(opened.discard_reason.unwrap().contains("--no-resume") && opened.resumed.is_empty());
}

#[test]
fn a_moved_chunk_ends_what_can_be_resumed() {
    let folder = JournalFolder::new();
    let mut resumed = folder.open().resumed;
    assert_eq!(resumed.take(0, &chunk(0).span).unwrap(), Some(chunk(0)));
    let elsewhere = ChunkSpan { follows: false, ..chunk(1).span };
    assert!(resumed.take(1, &elsewhere).is_err());
    assert!(resumed.chunks.is_empty() && resumed.language.is_some());
    folder.open().journal.append_discard(1).unwrap();
    assert_eq!(folder.chunks(), [0]);
    folder.open().journal.append_discard(0).unwrap();
    assert!(folder.open().resumed.language.is_none());
}

#[test]
fn only_one_process_holds_it() {
    let folder = JournalFolder::new();
    let held = folder.open();
    let second = Journal::open(&folder.path(), &fingerprint("tiny"), true);
    assert!(matches!(second, Err(LockError::Locked)));
    drop(held);
    assert_eq!(folder.chunks(), [0, 1, 2]);
}

/// Each holder removes the journal when it is done, while others keep opening it.
#[test]
fn a_removed_journal_is_never_held_twice() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let folder = JournalFolder::empty();
    let (holders, times) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while times.load(Ordering::SeqCst) < 300 {
                    match Journal::open(&folder.path(), &fingerprint("tiny"), true) {
                        Ok(opened) => {
                            assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                            std::thread::yield_now();
                            assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                            times.fetch_add(1, Ordering::SeqCst);
                            opened.journal.remove();
                        }
                        Err(LockError::Locked) => std::thread::yield_now(),
                        Err(LockError::Io(error)) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert!(!folder.path().exists());
}

#[test]
fn a_journal_without_finished_work_is_removed() {
    let folder = JournalFolder::empty();
    drop(folder.open());
    assert!(!folder.path().exists());
}

#[test]
fn an_empty_journal_is_removed() {
    let folder = JournalFolder::empty();
    fs::write(folder.path(), "").unwrap();
    Journal::remove_if_written(&folder.path());
    assert!(!folder.path().exists());
}

#[test]
fn a_journal_whose_outputs_exist_is_removed() {
    let folder = JournalFolder::new();
    let output = folder.0.path().join("talk.srt");
    let survives = || {
        Journal::remove_if_written(&folder.path());
        folder.path().exists()
    };
    assert!(survives());
    folder.open().journal.append_writing(vec![output.clone()]).unwrap();
    assert!(survives());
    fs::write(output, "").unwrap();
    let held = folder.open();
    assert!(survives());
    drop(held);
    assert!(!survives());
}
