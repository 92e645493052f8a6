//! Parity of the whole pipeline with openai-whisper's `transcribe()` on the demo model: text, tokens and times.
//! See fixtures/README.md for how the references were made.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device};
use serde::Deserialize;
use transcribe::audio::AudioInput;
use transcribe::cancel::CancelToken;
use transcribe::decode::{DecodeOptions, Tokenizer};
use transcribe::device::NumberFormats;
use transcribe::device::memory::ReleasePolicy;
use transcribe::engine::Engine;
use transcribe::models::Capacity;
use transcribe::models::candle::CandleBackend;
use transcribe::whisper::WhisperConfig;
use transcribe::whisper::weights::WeightSource;

use crate::recording::{DecodedRecording, chunks_in_clips, decode};

#[derive(Deserialize)]
struct Reference {
    detected: Option<serde_json::Value>,
    variants: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Variant {
    options: Options,
    text: String,
    language: String,
    segments: Vec<Segment>,
    windows: Vec<serde_json::Value>,
    fallback: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Options {
    language: Option<String>,
    task: Option<String>,
    temperature: Option<f64>,
    condition_on_previous_text: Option<bool>,
    initial_prompt: Option<String>,
    carry_initial_prompt: Option<bool>,
    without_timestamps: Option<bool>,
    clip_timestamps: Option<serde_json::Value>,
    beam_size: Option<usize>,
    patience: Option<f64>,
    length_penalty: Option<f64>,
}

#[derive(Deserialize)]
struct Segment {
    id: usize,
    seek: usize,
    start: f64,
    end: f64,
    text: String,
    tokens: Vec<u32>,
    temperature: f64,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
}

fn root(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Starts an engine of the demo model with this many slots.
pub fn demo(windows: usize, sequences: usize) -> Engine {
    let read = |name: &str| std::fs::read(root("models/demo").join(name)).unwrap();
    let config = WhisperConfig::from_json(&read("config.json")).unwrap();
    let tokenizer = Tokenizer::from_json(&read("tokenizer.json"), config.vocab_size).unwrap();
    let file = [root("models/demo/model.safetensors")];
    let weights = WeightSource::Files(&file).open(DType::F32).unwrap();
    let backend = CandleBackend::new(
        config,
        weights,
        &Device::Cpu,
        NumberFormats::uniform(DType::F32),
        Capacity { windows, sequences },
    )
    .unwrap();
    Engine::start(Box::new(backend), Arc::new(tokenizer), ReleasePolicy::default(), &CancelToken::new())
        .unwrap()
}

fn options(of: &Options) -> DecodeOptions {
    let defaults = DecodeOptions::default();
    DecodeOptions {
        language: of.language.as_ref().map(|language| language.parse().unwrap()),
        task: of.task.as_ref().map_or(defaults.task, |task| task.parse().unwrap()),
        temperatures: of.temperature.map_or(defaults.temperatures, |temperature| vec![temperature]),
        condition_on_previous_text: of.condition_on_previous_text.unwrap_or(true),
        initial_prompt: of.initial_prompt.clone(),
        carry_initial_prompt: of.carry_initial_prompt.unwrap_or(false),
        without_timestamps: of.without_timestamps.unwrap_or(false),
        beam_size: of.beam_size,
        patience: of.patience,
        length_penalty: of.length_penalty,
        ..DecodeOptions::default()
    }
}

fn assert_equal(what: &str, ours: &DecodedRecording, theirs: &Variant) {
    assert_eq!(ours.text, theirs.text, "{what}");
    assert_eq!(ours.language, theirs.language, "{what}");
    for (ours, theirs) in ours.segments.iter().zip(&theirs.segments) {
        let what = format!("{what}, segment {}", theirs.id);
        assert_eq!(ours.tokens, theirs.tokens, "{what}");
        assert_eq!(ours.text, theirs.text, "{what}");
        assert_eq!((ours.id, ours.seek), (theirs.id, theirs.seek), "{what}");
        assert_eq!((ours.start, ours.end), (theirs.start, theirs.end), "{what}");
        assert_eq!(ours.temperature, theirs.temperature, "{what}");
        assert_eq!(ours.compression_ratio, theirs.compression_ratio, "{what}");
        assert!((ours.avg_logprob - theirs.avg_logprob).abs() < 1e-4, "{what}");
        let (ours, theirs) = (ours.no_speech_prob, theirs.no_speech_prob);
        assert!((ours - theirs).abs() <= 1e-4 * theirs.max(1e-3), "{what}: no speech {ours} {theirs}");
    }
    assert_eq!(ours.segments.len(), theirs.segments.len(), "{what}");
}

/// Checks every variant of one recording that does not depend on another program's random numbers; returns how many.
fn check(recording: &str) -> usize {
    let json = std::fs::read(root(&format!("fixtures/reference/{recording}.json"))).unwrap();
    let reference: Reference = serde_json::from_slice(&json).unwrap();
    let audio = AudioInput::file(root(&format!("fixtures/long/{recording}.flac"))).unwrap();
    let engine = demo(1, 5);
    let mut checked = 0;
    for (name, variant) in reference.variants {
        let theirs: Variant = serde_json::from_value(variant).unwrap();
        if theirs.fallback {
            continue;
        }
        let what = format!("{recording}, {name}");
        let clips = theirs.options.clip_timestamps.as_ref().and_then(serde_json::Value::as_str).unwrap_or("");
        let ours = decode(&engine, chunks_in_clips(&audio, clips, 80), &options(&theirs.options)).unwrap();
        assert_equal(&what, &ours, &theirs);
        // The reference has a row for every temperature tried at a window.
        let calls: usize = ours.windows.iter().map(|window| 1 + window.fallbacks).sum();
        assert_eq!(calls, theirs.windows.len(), "{what}: windows");
        if theirs.options.language.is_none() {
            let heard = ours.detected.as_ref().map(|guess| guess.language.code());
            assert_eq!(heard, Some(theirs.language.as_str()), "{what}");
            assert!(reference.detected.is_some());
        }
        checked += 1;
    }
    checked
}

#[test]
fn english_equals_openai() {
    assert!(check("long_en") >= 4);
}

#[test]
fn english_with_a_hole_equals_openai() {
    assert!(check("long_en_hole") >= 4);
}

#[test]
fn german_equals_openai() {
    assert!(check("long_de") >= 4);
}

#[test]
fn spanish_equals_openai() {
    assert!(check("long_es") >= 4);
}

#[test]
fn short_recordings_equal_openai() {
    assert!(check("short_en") + check("short_es") >= 8);
}

#[test]
fn music_equals_openai() {
    assert!(check("music") >= 2);
}

/// Options that openai-whisper lacks, against faster-whisper on the same weights. Its log-mel and its matrix products
/// differ in the last digits, and it drops empty segments.
#[test]
fn options_of_faster_whisper_equal_faster_whisper() {
    let json = std::fs::read(root("fixtures/reference/faster.json")).unwrap();
    let reference: HashMap<String, HashMap<String, Faster>> = serde_json::from_slice(&json).unwrap();
    let engine = demo(1, 5);
    for (recording, variants) in reference {
        let audio = AudioInput::file(root(&format!("fixtures/long/{recording}.flac"))).unwrap();
        for (name, theirs) in variants {
            let what = format!("{recording}, {name}");
            let of = theirs.options;
            let options = DecodeOptions {
                language: Some(theirs.language.parse().unwrap()),
                temperatures: vec![of.temperature],
                beam_size: Some(of.beam_size),
                condition_on_previous_text: of.condition_on_previous_text.unwrap_or(true),
                hotwords: of.hotwords,
                prefix: of.prefix,
                without_timestamps: of.without_timestamps.unwrap_or(false),
                repetition_penalty: of.repetition_penalty.unwrap_or(1.0),
                no_repeat_ngram_size: of.no_repeat_ngram_size.unwrap_or(0),
                ..DecodeOptions::default()
            };
            let ours = decode(&engine, chunks_in_clips(&audio, "", 80), &options).unwrap();
            let ours: Vec<_> = ours.segments.iter().filter(|segment| !segment.text.is_empty()).collect();
            for (ours, theirs) in ours.iter().zip(&theirs.segments) {
                let FasterSegment(_, start, end, text, tokens, temperature, avg_logprob) = theirs;
                assert_eq!((&ours.text, &ours.tokens), (text, tokens), "{what}");
                let near = |ours: f64, theirs: &str| (ours - theirs.parse::<f64>().unwrap()).abs() < 0.006;
                assert!(near(ours.start, start) && near(ours.end, end), "{what}: {ours:?}");
                assert_eq!(ours.temperature, *temperature, "{what}");
                assert!((ours.avg_logprob - avg_logprob).abs() < 1e-3, "{what}: {ours:?} {avg_logprob}");
            }
            assert_eq!(ours.len(), theirs.segments.len(), "{what}");
        }
    }
}

#[derive(Deserialize)]
struct Faster {
    language: String,
    options: FasterOptions,
    segments: Vec<FasterSegment>,
}

/// The next window's frame, start, end, text, tokens, temperature, average log-probability.
#[derive(Deserialize)]
struct FasterSegment(serde::de::IgnoredAny, String, String, String, Vec<u32>, f64, f64);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FasterOptions {
    temperature: f64,
    beam_size: usize,
    condition_on_previous_text: Option<bool>,
    hotwords: Option<String>,
    prefix: Option<String>,
    without_timestamps: Option<bool>,
    repetition_penalty: Option<f64>,
    no_repeat_ngram_size: Option<usize>,
}
