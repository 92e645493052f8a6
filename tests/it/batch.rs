//! Forty files of every kind in one run: which are done, which fail and why, independently of each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::program::{bare, fixture, names, run};

/// A folder of inputs.
struct Batch {
    folder: TempDir,
    inputs: Vec<PathBuf>,
    /// The error of each input that fails.
    failures: BTreeMap<&'static str, &'static str>,
}

/// Recordings in every kind of file, some of them slightly damaged.
const GOOD: [&str; 21] = [
    "audio/aac.m4a",
    "audio/alac.caf",
    "audio/alaw-8k.wav",
    "audio/cbr.mp3",
    "audio/flac.flac",
    "audio/mp3.mkv",
    "audio/opus.opus",
    "audio/pcm.aiff",
    "audio/s16-192k.wav",
    "audio/six-channels.wav",
    "audio/two-tracks.mkv",
    "audio/video.mp4",
    "audio/vorbis.ogg",
    "audio/opus-short.opus",
    "audio/damaged/flipped-cbr.mp3",
    "audio/damaged/truncated-flac.flac",
    "audio/damaged/truncated-s24-44k.wav",
    "audio/damaged/truncated-opus.webm",
    "long/short_en.flac",
    "audio/vbr.mp3",
    "long/short_es.flac",
];

/// Files that cannot be decoded, and why.
const BAD: [(&str, &str); 9] = [
    ("audio/damaged/empty.wav", "is empty"),
    ("audio/damaged/garbage.flac", ""),
    ("audio/damaged/absurd-rate.wav", ""),
    ("audio/damaged/headless.m4a", "has no index (`moov`)"),
    ("audio/damaged/no-channels.wav", ""),
    ("audio/damaged/silent-film.mp4", "has no audio track"),
    ("audio/damaged/header-only.wav", ""),
    ("audio/damaged/text.mp3", "not an audio or video file in a supported format"),
    ("audio/damaged/headless-vorbis.ogg", "no audio can be decoded"),
];

const ODD: [&str; 4] = [
    "Ærø 🎙 ́ё.flac",
    " - leading.flac",
    "quote\"'`$x.flac",
    "a very long name of a recording, with. dots.flac",
];

impl Batch {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut batch = Batch { folder, inputs: Vec::new(), failures: BTreeMap::new() };
        for from in GOOD {
            batch.add(from, from.rsplit('/').next().unwrap());
        }
        for (from, why) in BAD {
            let name = from.rsplit('/').next().unwrap();
            batch.add(from, name);
            batch.failures.insert(name, why);
        }
        for odd in ODD {
            batch.add("long/short_en.flac", odd);
        }
        // Two of one name in different folders.
        for twin in ["one/twin.flac", "two/twin.flac"] {
            batch.add("long/short_en.flac", twin);
        }
        batch
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn add(&mut self, from: &str, name: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(fixture(from), &path).unwrap();
        self.inputs.push(path);
    }
}

#[test]
fn forty_mixed_files_end_with_the_right_outputs_and_reasons() {
    let mut batch = Batch::new();
    // The same ones by other names, a folder in the way of an output, and an unreadable file.
    let (copy, twice) = (batch.inputs[4].clone(), batch.at("one/../one/twin.flac"));
    batch.inputs.extend([copy, twice]);
    batch.add("long/short_en.flac", "blocked.flac");
    fs::create_dir(batch.at("blocked.txt")).unwrap();
    batch.failures.insert("blocked.flac", "");
    batch.add("long/short_en.flac", "sealed/inside.flac");
    assert_eq!(batch.inputs.len(), 40);
    let is_sealed = seal(&batch);
    if is_sealed {
        batch.failures.insert("sealed/inside.flac", "");
    }

    let mut program = bare();
    program.args(["--model", "demo", "--export", "txt,json"]).args(&batch.inputs);
    let ended = run(program);
    unseal(&batch);
    // The reasons differ, so the exit code is the general one.
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), batch.failures.len(), "{errors:#?}");
    for (name, why) in &batch.failures {
        let stem = name.split('.').next().unwrap();
        let is_reported = errors.iter().any(|line| line.contains(stem) && line.contains(why));
        assert!(is_reported, "{name}: {why}: {errors:#?}");
    }
    assert_eq!(ended.stderr.matches("it is processed once").count(), 2, "{}", ended.stderr);
    for input in &batch.inputs {
        let name = input.strip_prefix(batch.folder.path()).unwrap().to_str().unwrap();
        if batch.failures.contains_key(name) {
            assert!(!input.with_extension("json").exists(), "{name}");
            continue;
        }
        for format in ["txt", "json"] {
            assert!(input.with_extension(format).is_file(), "{name}: {format}");
        }
    }
    let left = names(batch.folder.path());
    let is_leftover = |name: &&String| {
        name.ends_with(".tmp") || name.contains(".partial.") || name.ends_with(".transcribe")
    };
    assert!(left.iter().all(|name| name == ".blocked.transcribe" || !is_leftover(&name)), "{left:?}");
}

#[test]
fn a_second_run_retries_only_failed_inputs() {
    let batch = Batch::new();
    let start = || {
        let mut program = bare();
        program.args(["--model", "demo", "--export", "txt"]).args(&batch.inputs);
        run(program)
    };
    let first = start();
    assert_eq!(first.status.code(), Some(1), "{first:?}");
    fs::copy(fixture("long/short_en.flac"), batch.at("empty.wav")).unwrap();
    let second = start();
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(batch.at("empty.txt").is_file());
    let done = batch.inputs.len() - batch.failures.len();
    assert_eq!(second.stderr.matches("already done").count(), done, "{}", second.stderr);
    assert_eq!(second.stderr.matches("error: ").count(), batch.failures.len() - 1);
}

/// Makes the folder read-only; returns false if this user may write all the same.
#[cfg(unix)]
fn seal(batch: &Batch) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(batch.at("sealed"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::write(batch.at("sealed/write-test"), "").is_err()
}

#[cfg(not(unix))]
fn seal(_: &Batch) -> bool {
    false
}

#[cfg(unix)]
fn unseal(batch: &Batch) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(batch.at("sealed"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
fn unseal(_: &Batch) {}
