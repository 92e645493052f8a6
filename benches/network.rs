//! The network alone, with random weights in the published shapes: one encoder pass of a window, and one decoder step of 1
//! and of 8 sequences, each with a window of its own.
//!
//! `cargo bench --bench network -- base`

use candle_core::{DType, Device};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use transcribe::device::NumberFormats;
use transcribe::models::candle::CandleBackend;
use transcribe::models::{Backend, Capacity, RowInput, WindowInput};
use transcribe::whisper::{WhisperConfig, random};

const SIZES: [&str; 3] = ["tiny", "base", "small"];
const ROWS: [usize; 2] = [1, 8];
/// The position of the measured step: the middle of a typical window's text.
const POSITION: usize = 64;

fn network(c: &mut Criterion) {
    for size in SIZES {
        // Generating weights takes longer than using them, so only the selected sizes are made.
        let filters = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect::<Vec<_>>();
        if !filters.is_empty() && !filters.iter().any(|a| a.contains(size)) {
            continue;
        }
        let config = WhisperConfig::published(size).expect("a published size");
        let largest = ROWS[ROWS.len() - 1];
        let capacity = Capacity { windows: largest, sequences: largest };
        let weights = random::weights(DType::F32);
        let mut backend = CandleBackend::new(
            config.clone(),
            weights,
            &Device::Cpu,
            NumberFormats::uniform(DType::F32),
            capacity,
        )
        .expect("random weights fit");
        encoder(c, size, &config, &mut backend);
        decoder(c, size, &mut backend);
    }
}

fn encoder(c: &mut Criterion, size: &str, config: &WhisperConfig, backend: &mut CandleBackend) {
    let mel = random::mel(config, 0);
    for slot in 0..backend.capacity().windows {
        backend.encode(&[WindowInput { slot, mel: &mel }]).expect("a window");
    }
    let mut group = c.benchmark_group("encoder");
    group.sample_size(10).bench_function(size, |b| {
        b.iter(|| backend.encode(&[WindowInput { slot: 0, mel: &mel }]).expect("a window"));
    });
    group.finish();
}

fn decoder(c: &mut Criterion, size: &str, backend: &mut CandleBackend) {
    let prompt: Vec<u32> = (0..POSITION as u32).collect();
    let mut logits = Vec::new();
    let mut group = c.benchmark_group("decoder step");
    for rows in ROWS {
        let row = |sequence, position, tokens| RowInput {
            sequence,
            window: sequence,
            position,
            tokens,
            logits_after: &[0],
        };
        let filled: Vec<_> = (0..rows).map(|sequence| row(sequence, 0, &prompt[..])).collect();
        backend.decode(&filled, &mut logits).expect("a prompt");
        let step: Vec<_> = (0..rows).map(|sequence| row(sequence, POSITION, &prompt[..1])).collect();
        group.throughput(Throughput::Elements(rows as u64));
        group.bench_function(BenchmarkId::new(size, rows), |b| {
            b.iter(|| backend.decode(&step, &mut logits).expect("a step"));
        });
    }
    group.finish();
}

criterion_group!(benches, network);
criterion_main!(benches);
