//! `--vad`: all words and their times are kept, fewer windows are decoded, and no segment overlaps skipped silence.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use transcribe::audio::{AudioInput, AudioOptions};

use crate::clips::{Done, transcribed};
use crate::program::{Running, demo, fixture, run};

/// Returns the 16 kHz samples of a recording.
pub fn samples(name: &str) -> Vec<f32> {
    let input = AudioInput::file(fixture("long").join(format!("{name}.flac"))).unwrap();
    let mut reader = input.open(&AudioOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend_from_slice(block);
    }
    samples
}

/// Returns faint noise of this length.
pub fn faint_noise(seconds: f64) -> Vec<f32> {
    let mut seed = 7_u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((seed >> 8) as f32 / 8_388_608.0 - 1.0) * 0.001
    };
    (0..(seconds * 16_000.0) as usize).map(|_| next()).collect()
}

/// Writes a 16-bit WAV file.
pub fn wav(path: &Path, samples: &[f32]) {
    let bytes = 2 * samples.len() as u32;
    let mut wav = Vec::with_capacity(44 + bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|s| ((s * 32_768.0).round() as i16).to_le_bytes()));
    fs::write(path, wav).unwrap();
}

/// A phrase of the ground truth: start, end, text.
type Phrase = (f64, f64, String);

fn truth(name: &str) -> Vec<Phrase> {
    let json = fs::read(fixture("long").join(format!("{name}.json"))).unwrap();
    let truth: Value = serde_json::from_slice(&json).unwrap();
    let phrases = truth["phrases"].as_array().unwrap().iter();
    phrases
        .map(|p| {
            (p["start"].as_f64().unwrap(), p["end"].as_f64().unwrap(), p["text"].as_str().unwrap().into())
        })
        .collect()
}

/// A recording with long silence between phrases.
struct SparseRecording {
    folder: TempDir,
    phrases: Vec<Phrase>,
    /// The inserted silence.
    silence: Vec<(f64, f64)>,
    seconds: f64,
}

impl SparseRecording {
    /// Inserts 40 s of silence after every eighth phrase and a minute before the first.
    fn new() -> Self {
        let audio = samples("long_en");
        let mut sparse = Self {
            folder: tempfile::tempdir().unwrap(),
            phrases: Vec::new(),
            silence: Vec::new(),
            seconds: 0.0,
        };
        let (mut out, mut from) = (faint_noise(60.0), 0);
        sparse.silence.push((0.0, 60.0));
        let truth = truth("long_en");
        for (index, (start, end, text)) in truth.iter().enumerate() {
            let moved = (out.len() as f64 - from as f64) / 16_000.0;
            sparse.phrases.push((start + moved, end + moved, text.clone()));
            let next = truth.get(index + 1);
            if let Some(next) = next.filter(|_| index % 8 == 7) {
                let middle = ((end + next.0) / 2.0 * 16_000.0) as usize;
                out.extend_from_slice(&audio[from..middle]);
                from = middle;
                sparse.silence.push((out.len() as f64 / 16_000.0, out.len() as f64 / 16_000.0 + 40.0));
                out.extend(faint_noise(40.0));
            }
        }
        out.extend_from_slice(&audio[from..]);
        sparse.seconds = out.len() as f64 / 16_000.0;
        wav(&sparse.audio(), &out);
        sparse
    }

    fn audio(&self) -> PathBuf {
        self.folder.path().join("gappy.wav")
    }

    fn report(&self) -> PathBuf {
        self.folder.path().join("voice.jsonl")
    }

    fn run(&self, args: &[&str]) -> Done {
        transcribed(&self.audio(), &[&["--language", "en"], args].concat())
    }
}

fn words(text: &str) -> Vec<String> {
    let plain = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    text.split_whitespace().map(plain).filter(|word| !word.is_empty()).collect()
}

/// Counts the words of the ground truth that are missing, with multiplicity.
fn missing(truth: &[Phrase], text: &str) -> usize {
    let mut found = words(text);
    let all = truth.iter().flat_map(|(.., text)| words(text));
    all.filter(|word| match found.iter().position(|other| other == word) {
        Some(at) => {
            found.swap_remove(at);
            false
        }
        None => true,
    })
    .count()
}

#[test]
fn skips_only_silence() {
    let sparse = SparseRecording::new();
    let report = sparse.report();
    for chunk_length in ["120", "0"] {
        let without = sparse.run(&["--chunk-length", chunk_length]);
        let length = ["--chunk-length", chunk_length, "--vad-report", report.to_str().unwrap(), "--vad"];
        let with = sparse.run(&length);
        let line: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
        let seconds = |value: &Value| (value["start"].as_f64().unwrap(), value["end"].as_f64().unwrap());
        let skipped: Vec<(f64, f64)> = line["skipped"].as_array().unwrap().iter().map(seconds).collect();

        // All silence is skipped up to its edges, and no phrase is.
        for (start, end) in &sparse.silence {
            let out = skipped.iter().find(|s| s.0 < end - 1.0 && s.1 > start + 1.0).unwrap();
            assert!(out.0 < start + 2.5 && out.1 > end - 2.5, "{out:?} of {start} to {end}");
        }
        for (start, end, text) in &sparse.phrases {
            assert!(skipped.iter().all(|s| s.1 < *start || s.0 > *end), "{text} in {skipped:?}");
        }
        let total: f64 = skipped.iter().map(|(start, end)| end - start).sum();
        assert!((line["seconds_of_silence_skipped"].as_f64().unwrap() - total).abs() < 1e-6);
        assert!((line["duration"].as_f64().unwrap() - sparse.seconds).abs() < 0.01);
        assert!(with.stderr.contains("s skipped as silence"), "{}", with.stderr);

        // No segment overlaps skipped silence.
        for (_, start, end, text) in with.segments() {
            let over = skipped.iter().find(|s| s.0 < end - 1e-6 && s.1 > start + 1e-6);
            assert_eq!(over, None, "{text} from {start} to {end}");
        }
        // All words are there, and where the network predicts the start of a phrase, it is right.
        let (here, there) = (missing(&sparse.phrases, with.text()), missing(&sparse.phrases, without.text()));
        println!("{chunk_length}: {here} words missing, {there} without skipping");
        assert!(here <= there + 4, "{here} words are missing, {there} without");
        let mut near = 0;
        for (_, start, _, text) in with.segments() {
            let phrase =
                sparse.phrases.iter().find(|p| words(&p.2) == words(&text) && (p.0 - start).abs() < 3.0);
            if let Some(phrase) = phrase {
                near += 1;
                assert!((phrase.0 - start).abs() <= 0.1, "{text} at {start}, not at {}", phrase.0);
            }
        }
        assert!(near >= sparse.phrases.len() / 2, "{near} of {}", sparse.phrases.len());
        println!("{chunk_length}: {} windows instead of {}", with.windows(), without.windows());
        assert!(with.windows() < without.windows(), "{} {}", with.windows(), without.windows());
    }
}

#[test]
fn resumes_to_the_same_bytes() {
    let sparse = SparseRecording::new();
    let out = sparse.folder.path().join("out");
    let command = || {
        let mut program = demo();
        program.arg(sparse.audio()).args([
            "--vad_filter",
            "True",
            "--chunk-length",
            "8",
            "--export",
            "json,srt",
        ]);
        program.args(["--batch-size", "2", "--output-dir"]).arg(&out);
        program
    };
    fs::create_dir(&out).unwrap();
    assert!(run(command()).status.success());
    let read = |name: &str| fs::read(out.join(name)).unwrap();
    let undisturbed = [read("gappy.json"), read("gappy.srt")];
    for name in ["gappy.json", "gappy.srt"] {
        fs::remove_file(out.join(name)).unwrap();
    }
    let mut stops = 0;
    for moment in ["encode 3", "chunk 2", "encode 2", "chunk 3"] {
        let mut running = Running::start_until(command(), &format!("stop {moment}"));
        if !running.wait_for("test hook: ") {
            break;
        }
        running.signal("KILL");
        running.end();
        stops += 1;
    }
    assert!(stops >= 3);
    let ended = run(command());
    assert!(ended.status.success() && ended.stderr.contains("resuming where"), "{}", ended.stderr);
    assert!([read("gappy.json"), read("gappy.srt")] == undisturbed);
}

#[test]
fn other_options_do_not_resume_finished_chunks() {
    let sparse = SparseRecording::new();
    let command = |vad: &[&str]| {
        let mut program = demo();
        program
            .arg(sparse.audio())
            .args(["--language", "en", "--chunk-length", "8", "--export", "txt"])
            .args(vad);
        program
    };
    let mut running = Running::start_until(command(&["--vad"]), "stop chunk 2");
    assert!(running.wait_for("test hook: "));
    running.signal("KILL");
    running.end();
    for other in [&["--vad", "--vad-speech-pad-ms", "100"][..], &[], &["--vad", "--offset", "1"]] {
        let mut running = Running::start_until(command(other), "stop encode 1");
        running.wait_for("test hook: ");
        running.signal("KILL");
        let stderr = running.end().stderr;
        assert!(stderr.contains("options that affect the text have changed"), "{other:?}: {stderr}");
        // The journal now belongs to other options.
        let mut running = Running::start_until(command(&["--vad"]), "stop chunk 2");
        running.wait_for("test hook: ");
        running.signal("KILL");
        running.end();
    }
}

#[test]
fn silence_has_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("hush.wav");
    wav(&audio, &faint_noise(100.0));
    let done = transcribed(&audio, &["--vad", "--language", "en"]);
    assert_eq!((done.text(), done.segments().len(), done.windows()), ("", 0, 0));
    let done = transcribed(&audio, &["--vad"]);
    assert_eq!((done.text(), done.segments().len()), ("", 0));
}

/// An existing recording is not overwritten by the report.
#[test]
fn rejects_a_recording_as_report_path() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("a.flac");
    fs::copy(fixture("long/short_en.flac"), &audio).unwrap();
    let output = demo().arg(&audio).arg("--vad-report").arg(&audio).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read(&audio).unwrap(), fs::read(fixture("long/short_en.flac")).unwrap());
}
