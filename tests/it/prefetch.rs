//! Prefetching: audio decoded ahead on several threads has the same samples, damage and errors as on one thread.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use transcribe::audio::{AudioDamage, AudioInput, AudioOptions, AudioReader, DecoderChoice};
use transcribe::error::Error;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio")
}

/// The bits of all samples, the damage, and the error at the end.
type ReadOutcome = (Vec<u32>, Option<AudioDamage>, Option<String>);

fn read(reader: Result<AudioReader, Error>) -> ReadOutcome {
    let mut samples: Vec<u32> = Vec::new();
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return (samples, None, Some(error.chain())),
    };
    let end = loop {
        match reader.next_block() {
            Ok(Some(block)) => samples.extend(block.iter().map(|sample| sample.to_bits())),
            Ok(None) => break None,
            Err(error) => break Some(error.chain()),
        }
    };
    assert!(end.is_some() || reader.next_block().unwrap().is_none(), "the end stays the end");
    (samples, Some(reader.damage().clone()), end)
}

/// Compares reading on one thread and prefetching, and returns the outcome.
fn check(input: &AudioInput, options: &AudioOptions) -> ReadOutcome {
    // Whether or not `ffmpeg` is installed.
    let options = &AudioOptions { decoder: DecoderChoice::Builtin, ..options.clone() };
    let expected = read(input.open(options));
    for lanes in [1, 2, 5] {
        let prefetched = read(input.open_prefetching(options, lanes));
        assert_eq!(prefetched.0.len(), expected.0.len(), "{} in {lanes} lanes", input.name());
        assert!(
            prefetched == expected,
            "{} in {lanes} lanes: {:?} for {:?}",
            input.name(),
            prefetched.1,
            expected.1
        );
    }
    expected
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

/// Repeats a file, so that it is long enough for several threads.
fn repeated(name: &str, times: usize) -> Vec<u8> {
    bytes(name).repeat(times)
}

fn input(name: &str, bytes: Vec<u8>) -> AudioInput {
    AudioInput::reader(name, Cursor::new(bytes)).unwrap()
}

#[test]
fn prefetching_equals_reading_on_one_thread() {
    for folder in [folder(), folder().join("damaged"), folder().join("../long")] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(input) = AudioInput::file(&path) {
                check(&input, &AudioOptions::default());
                check(&input, &AudioOptions { channel: Some(1), ..AudioOptions::default() });
            }
        }
    }
}

#[test]
fn mp3_of_every_kind_decodes_in_parallel_to_the_same_bits() {
    for name in ["cbr.mp3", "vbr.mp3", "untagged.mp3", "mono-22k.mp3"] {
        let (samples, damage, end) = check(&input(name, repeated(name, 12)), &AudioOptions::default());
        assert!(samples.len() > 12 * 30_000, "{name}: {}", samples.len());
        assert_eq!((damage.map(|damage| damage.incomplete), end), (Some(false), None), "{name}");
    }
    // The rate and the channels change, which needs a new codec.
    let mixed = [repeated("cbr.mp3", 5), repeated("mono-22k.mp3", 9), repeated("vbr.mp3", 5)].concat();
    check(&input("mixed", mixed), &AudioOptions::default());
}

#[test]
fn dropping_a_reader_early_does_not_block() {
    for lanes in [1, 4] {
        let input = input("long", repeated("cbr.mp3", 100));
        let mut reader = input.open_prefetching(&AudioOptions::default(), lanes).unwrap();
        assert!(reader.next_block().unwrap().is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_decode_the_same(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        hole in prop::option::of((any::<prop::sample::Index>(), 1_usize..3_000)),
        name in prop_oneof![Just("cbr.mp3"), Just("vbr.mp3"), Just("flac.flac")],
    ) {
        let mut bytes = if name == "flac.flac" { bytes("../long/short_es.flac") } else { repeated(name, 8) };
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some((at, length)) = hole {
            let at = at.index(bytes.len());
            bytes.drain(at..bytes.len().min(at + length));
        }
        check(&input(name, bytes), &AudioOptions::default());
    }
}
