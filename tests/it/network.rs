//! Compares the network with the results of transformers; fixtures/README.md describes how they were generated.

use candle_core::{DType, Device};
use serde::Deserialize;
use transcribe::device::NumberFormats;
use transcribe::models::candle::CandleBackend;
use transcribe::models::{Backend, Capacity, RowInput, WindowInput};
use transcribe::whisper::weights::WeightSource;
use transcribe::whisper::{WhisperConfig, random};

/// For f32 with different orders of summation.
const TOLERANCE: f64 = 1e-3;

#[derive(Deserialize)]
struct Expected {
    config: Shape,
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Shape {
    d_model: usize,
    num_mel_bins: usize,
    vocab_size: usize,
    encoder_layers: usize,
    decoder_layers: usize,
}

#[derive(Deserialize)]
struct Window {
    mel: String,
    tokens: Vec<u32>,
    encoder: Encoder,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Encoder {
    mean: f64,
    std: f64,
    indices: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Step {
    argmax: usize,
    margin: f64,
    logsumexp: f64,
    ids: Vec<usize>,
    logits: Vec<f64>,
}

fn expected(name: &str) -> Expected {
    let path = format!("{}/fixtures/network/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn random_model(size: &str, shape: &Shape, capacity: Capacity) -> (WhisperConfig, CandleBackend) {
    let config = WhisperConfig {
        encoder_layers: shape.encoder_layers,
        decoder_layers: shape.decoder_layers,
        ..WhisperConfig::published(size).unwrap()
    };
    let true_shape = (config.d_model, config.num_mel_bins, config.vocab_size);
    assert_eq!(true_shape, (shape.d_model, shape.num_mel_bins, shape.vocab_size));
    let weights = random::weights(DType::F32);
    (
        config.clone(),
        CandleBackend::new(config, weights, &Device::Cpu, NumberFormats::uniform(DType::F32), capacity)
            .unwrap(),
    )
}

#[track_caller]
fn assert_close(what: &str, ours: f64, theirs: f64) {
    assert!((ours - theirs).abs() <= TOLERANCE, "{what}: {ours} instead of {theirs}");
}

fn check_encoder(backend: &CandleBackend, mel: &[f32], expected: &Encoder) {
    let output = backend.encoder_output(&[mel]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (&index, &value) in expected.indices.iter().zip(&expected.values) {
        assert_close(&format!("encoder output {index}"), output[index].into(), value);
    }
    let n = output.len() as f64;
    let mean = output.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = output.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    assert_close("mean", mean, expected.mean);
    assert_close("standard deviation", variance.sqrt(), expected.std);
}

fn check_step(step: usize, logits: &[f32], expected: &Step) {
    for (&id, &value) in expected.ids.iter().zip(&expected.logits) {
        assert_close(&format!("step {step}, token {id}"), logits[id].into(), value);
    }
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - max).exp()).sum();
    assert_close(&format!("step {step}, logsumexp"), f64::from(max) + sum.ln(), expected.logsumexp);
    if expected.margin > 2.0 * TOLERANCE {
        assert_eq!(logits.iter().position(|&l| l == max), Some(expected.argmax), "step {step}");
    }
}

/// Decodes two windows together: one token by token, the other with its first tokens at once, so that the rows of a step
/// have different lengths and positions.
fn check_decoder(backend: &mut CandleBackend, windows: &[Window]) {
    let vocab = backend.spec().n_vocab;
    let prompts = [1usize, 5];
    let mut fed = vec![0; windows.len()];
    let mut logits = Vec::new();
    while fed.iter().zip(windows).any(|(&fed, window)| fed < window.tokens.len()) {
        let after: Vec<usize> = (0..5).collect();
        let mut rows = Vec::new();
        for (index, window) in windows.iter().enumerate() {
            let position = fed[index];
            let step = if position == 0 { prompts[index % 2] } else { 1 };
            let step = step.min(window.tokens.len() - position);
            if step > 0 {
                let tokens = &window.tokens[position..position + step];
                let logits_after = &after[..step];
                rows.push(RowInput { sequence: index, window: index, position, tokens, logits_after });
            }
        }
        backend.decode(&rows, &mut logits).unwrap();
        let mut scores = logits.chunks_exact(vocab);
        for row in &rows {
            for offset in 0..row.tokens.len() {
                let step = row.position + offset;
                check_step(step, scores.next().unwrap(), &windows[row.sequence].steps[step]);
            }
            fed[row.sequence] += row.tokens.len();
        }
        assert!(scores.next().is_none());
    }
}

fn check_random(size: &str, file: &str) {
    let expected = expected(file);
    let count = expected.windows.len();
    let (config, mut backend) =
        random_model(size, &expected.config, Capacity { windows: count, sequences: count });
    for (slot, window) in expected.windows.iter().enumerate() {
        assert_eq!(window.mel, format!("input.mel.{slot}"));
        let mel = random::mel(&config, slot);
        check_encoder(&backend, &mel, &window.encoder);
        backend.encode(&[WindowInput { slot, mel: &mel }]).unwrap();
    }
    check_decoder(&mut backend, &expected.windows);
}

#[test]
fn tiny_with_random_weights_matches_transformers() {
    check_random("tiny", "tiny");
}

#[test]
fn base_with_random_weights_matches_transformers() {
    check_random("base", "base");
}

#[test]
fn large_v3_turbo_with_random_weights_matches_transformers() {
    check_random("large-v3-turbo", "turbo");
}

#[test]
fn distil_large_v3_with_random_weights_matches_transformers() {
    check_random("distil-large-v3", "distil");
}

fn demo(capacity: Capacity) -> (WhisperConfig, CandleBackend) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let config = WhisperConfig::from_json(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let file = [folder.join("model.safetensors")];
    let weights = WeightSource::Files(&file).open(DType::F32).unwrap();
    (
        config.clone(),
        CandleBackend::new(config, weights, &Device::Cpu, NumberFormats::uniform(DType::F32), capacity)
            .unwrap(),
    )
}

#[test]
fn the_demo_model_matches_transformers() {
    let expected = expected("demo");
    let (config, mut backend) = demo(Capacity { windows: 1, sequences: 1 });
    for window in expected.windows.into_iter().filter(|window| window.mel.starts_with("input.mel.")) {
        let index = window.mel.trim_start_matches("input.mel.").parse().unwrap();
        let mel = random::mel(&config, index);
        check_encoder(&backend, &mel, &window.encoder);
        backend.encode(&[WindowInput { slot: 0, mel: &mel }]).unwrap();
        check_decoder(&mut backend, &[window]);
    }
}

#[test]
fn a_sequence_and_its_copy_continue_alike() {
    let (config, mut backend) = demo(Capacity { windows: 2, sequences: 3 });
    let mels = [random::mel(&config, 0), random::mel(&config, 1)];
    let inputs: Vec<_> = mels.iter().enumerate().map(|(slot, mel)| WindowInput { slot, mel }).collect();
    backend.encode(&inputs).unwrap();
    let row = |sequence, window, position, tokens| RowInput {
        sequence,
        window,
        position,
        tokens,
        logits_after: &[0],
    };
    let mut logits = Vec::new();
    backend.decode(&[row(0, 0, 0, &[50258, 50259, 50359])], &mut logits).unwrap();
    backend.copy_sequence(0, 2, 0..3).unwrap();
    // The copy attends to the same window, the third row to another one.
    backend
        .decode(&[row(0, 0, 3, &[400]), row(2, 0, 3, &[400]), row(1, 1, 0, &[50258])], &mut logits)
        .unwrap();
    let rows: Vec<&[f32]> = logits.chunks_exact(backend.spec().n_vocab).collect();
    assert_eq!(rows[0], rows[1]);
    assert_ne!(rows[0], rows[2]);
    // Alone, the row yields the same bits.
    let together = rows[0].to_vec();
    backend.decode(&[row(2, 0, 3, &[400])], &mut logits).unwrap();
    assert_eq!(logits, together);
}

#[test]
fn rejects_requests_outside_of_the_capacity_without_a_panic() {
    let (_, mut backend) = demo(Capacity { windows: 1, sequences: 1 });
    let mut logits = Vec::new();
    let good = RowInput { sequence: 0, window: 0, position: 0, tokens: &[1], logits_after: &[0] };
    for bad in [
        RowInput { sequence: 1, ..good },
        RowInput { window: 1, ..good },
        RowInput { position: 448, ..good },
        RowInput { tokens: &[51_865], ..good },
        RowInput { tokens: &[], ..good },
        RowInput { logits_after: &[1], ..good },
    ] {
        assert!(backend.decode(&[bad], &mut logits).is_err(), "{bad:?}");
    }
    assert!(backend.encode(&[WindowInput { slot: 0, mel: &[0.0; 7] }]).is_err());
    assert!(backend.decode(&[good], &mut logits).is_ok());
}
