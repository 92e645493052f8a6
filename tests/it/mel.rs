//! The log-mel of real files compared with openai-whisper's, from the file to the network's input.

use std::path::{Path, PathBuf};

use serde_json::Value;
use transcribe::audio::AudioInput;
use transcribe::time::WINDOW_FRAMES;

use crate::recording::chunks;

/// On values of about −1 to 1.5.
const TOLERANCE: f64 = 1e-4;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mel").join(name)
}

/// Returns the frames of the padded file as `frames` columns of `bins` values.
fn mel(audio: &Path, bins: usize, frames: usize, chunk_length: f64) -> Vec<Vec<f32>> {
    let input = AudioInput::file(audio).unwrap();
    let [part] = &mut chunks(&input, bins, chunk_length)[..] else { panic!("one chunk") };
    assert_eq!(part.span.end + WINDOW_FRAMES, frames);
    let features = &mut part.features;
    let mut columns = Vec::new();
    let mut out = Vec::new();
    for seek in (0..frames).step_by(WINDOW_FRAMES) {
        let width = WINDOW_FRAMES.min(frames - seek);
        features.window(seek, width, &mut out).unwrap();
        columns.extend((0..width).map(|f| out.chunks(WINDOW_FRAMES).map(|row| row[f]).collect::<Vec<f32>>()));
        assert!(out.chunks(WINDOW_FRAMES).all(|row| row[width..].iter().all(|v| *v == 0.0)));
    }
    columns
}

fn compare(name: &str, bins: usize, chunk_length: f64) {
    let json = std::fs::read_to_string(fixture(&format!("{name}.mel{bins}.json"))).unwrap();
    let expected: Value = serde_json::from_str(&json).unwrap();
    let number = |key: &str| expected[key].as_f64().unwrap();
    let frames = number("frames_with_padding") as usize;
    let mel = mel(&fixture(expected["audio"].as_str().unwrap()), bins, frames, chunk_length);

    let values = expected["values"].as_array().unwrap();
    assert!(values.len() > 300);
    let difference = |value: &Value| {
        let at = |i: usize| value[i].as_f64().unwrap();
        (f64::from(mel[at(0) as usize][at(1) as usize]) - at(2)).abs()
    };
    let worst = values.iter().map(difference).fold(0.0, f64::max);
    assert!(worst < TOLERANCE, "{name}, {bins} bins: {worst:e}");

    let all = || mel.iter().flatten().map(|v| f64::from(*v));
    let (max, min) = (all().fold(f64::MIN, f64::max), all().fold(f64::MAX, f64::min));
    let mean = all().sum::<f64>() / (frames * bins) as f64;
    for (got, key) in [(max, "max"), (min, "min"), (mean, "mean")] {
        assert!((got - number(key)).abs() < 1e-5, "{name}, {bins} bins: {key} {got}");
    }
    println!("{name}, {bins} bins: {worst:e} at most");
}

fn compare_all(name: &str) {
    for bins in [80, 128] {
        compare(name, bins, 0.0);
        // A file shorter than a chunk is processed in one piece.
        compare(name, bins, 120.0);
    }
}

#[test]
fn matches_openai_on_speech() {
    compare_all("speech");
}

/// The loudest value of this file comes long after the frames that it clamps.
#[test]
fn scales_relative_to_the_loudest_value_of_the_file() {
    compare_all("half");
}
