//! What outlives a run: journals, ledgers and reports. Damage of them never becomes text of an output.

use std::path::Path;

use serde_json::json;
use transcribe::decode::{Language, LanguageGuess};
use transcribe::export::{ExportOptions, Format};
use transcribe::report;
use transcribe::store::fingerprint::Fingerprint;
use transcribe::store::journal::{Journal, JournaledChunk};
use transcribe::store::ledger::{CurrentProvenance, InputSnapshot, LedgerReader, record_outputs};

use super::Scratch;

fn fingerprint() -> Fingerprint {
    let fields = json!({
        "format": 1, "program": "1.0.0", "model": "tiny", "device": "cpu", "options": "none",
        "input": {"bytes": 7, "sha256": "00"},
    });
    serde_json::from_value(fields).expect("a fingerprint")
}

fn language() -> LanguageGuess {
    let code = |code| Language::from_code(code).expect("a language");
    LanguageGuess { language: code("de"), probabilities: vec![(code("en"), 0.25), (code("de"), 0.75)] }
}

/// Returns what the journal holds before it is damaged.
fn chunks() -> Vec<JournaledChunk> {
    let chunk = |index: usize| {
        let (first, end, start) = (index * 1000, index * 1000 + 1000, index as f64);
        let fields = json!({
            "index": index,
            "place": {"stretch": {"first": first, "end": end, "visible": end}, "follows": false},
            "decoded": {
                "segments": [{
                    "id": 0, "seek": first, "start": start, "end": start + 0.5, "text": format!(" text {index}"),
                    "tokens": [50364, 1, 2], "temperature": 0.0, "avg_logprob": -0.5, "compression_ratio": 1.25,
                    "no_speech_prob": 0.125,
                }],
                "said": [1, 2],
                "decisions": [],
                "handover": {"seek": end, "prompt": [1, 2], "last_speech": start},
            },
        });
        serde_json::from_value(fields).expect("a chunk")
    };
    (0..3).map(chunk).collect()
}

/// Returns the journal that damage starts from.
pub fn whole_journal() -> Vec<u8> {
    let file = Scratch::new("journal", b"");
    let opened = Journal::open(&file.path, &fingerprint(), true).expect("opened");
    let mut journal = opened.journal;
    journal.append_language(&language()).expect("written");
    for chunk in chunks() {
        journal.append_chunk(&chunk).expect("written");
    }
    drop(journal);
    std::fs::read(&file.path).expect("readable")
}

/// Opens a journal: it resumes what was written and nothing else, also if every line has the right checksum.
pub fn journal(bytes: &[u8]) -> String {
    format!("{} {}", resumed(bytes), resumed(&with_right_checksums(bytes)))
}

/// Returns the lines with the checksums that belong to them.
fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let line = |line: &[u8]| {
        let text = line.iter().position(|byte| *byte == b' ').map_or(line, |at| &line[at + 1..]);
        let sum = format!("{:08x} ", crc32fast::hash(text));
        [sum.as_bytes(), text].concat()
    };
    bytes.split(|byte| *byte == b'\n').map(line).collect::<Vec<_>>().join(&b'\n')
}

fn resumed(bytes: &[u8]) -> String {
    let file = Scratch::new("journal", bytes);
    let open = || Journal::open(&file.path, &fingerprint(), true).expect("no other process has it");
    let opened = open();
    let known = chunks();
    for (index, chunk) in &opened.resumed.chunks {
        assert_eq!(known.get(*index), Some(chunk));
    }
    assert!(opened.resumed.language.is_none_or(|found| found == language()));
    let (found, why) = (opened.resumed.chunks.into_keys().collect::<Vec<_>>(), opened.discard_reason);
    drop(opened.journal);
    // What was damaged is gone, and the rest is still there.
    let again = open();
    assert_eq!((again.resumed.chunks.into_keys().collect(), again.discard_reason), (found.clone(), None));
    drop(again.journal);
    Journal::remove_if_written(&file.path);
    format!("{found:?} {why:?}")
}

const OUTPUT: &str = "talk.srt";
const CONTENT: &[u8] = b"1\n00:00:00,000 --> 00:00:01,000\ntext\n";

/// Returns the ledger that damage starts from.
pub fn whole_ledger() -> Vec<u8> {
    let file = Scratch::new(OUTPUT, CONTENT);
    let input = InputSnapshot { fingerprint: fingerprint(), modified: Some(7) };
    record_outputs(&input, "tiny", &ExportOptions::default(), &[(Format::Srt, &file.path, CONTENT.to_vec())]);
    std::fs::read(file.folder().join(".transcribe-done")).expect("readable")
}

/// Asks a ledger about an output.
pub fn ledger(bytes: &[u8]) -> String {
    let file = Scratch::new(OUTPUT, CONTENT);
    std::fs::write(file.folder().join(".transcribe-done"), bytes).expect("writable");
    let export = ExportOptions::default();
    let current =
        CurrentProvenance { name: "tiny", model: None, options: "none", input: Path::new("/nonexistent") };
    let state = LedgerReader::default().state(&file.path, Format::Srt, &export, &current);
    format!("{state:?}")
}

/// Reads a report and merges it with itself; what that gives is a report again.
pub fn report(bytes: &[u8]) -> String {
    let file = Scratch::new("report.jsonl", bytes);
    let read = |path: &Path| report::read(path);
    let (first, second) = match (read(&file.path), read(&file.path)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(error), _) | (_, Err(error)) => return file.shown(error.chain()),
    };
    let merged = report::merge(vec![first, second]);
    let lines = merged.events.iter().chain([&merged.summary]).map(|line| format!("{line}\n"));
    let path = file.folder().join("merged.jsonl");
    std::fs::write(&path, lines.collect::<String>()).expect("writable");
    if !merged.events.is_empty() {
        let again = report::read(&path).unwrap_or_else(|error| panic!("{}", error.chain()));
        let again = report::merge(vec![again]);
        assert_eq!(again.summary["counts"], merged.summary["counts"]);
        assert_eq!(again.events.len(), merged.events.len());
    }
    file.shown(format!("{} {:?}", merged.summary, merged.files.len()))
}
