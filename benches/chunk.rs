//! Measures voice activity detection and cutting. `elem/s` are seconds of audio per second: multiples of real time.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::{AudioSplitter, CutPolicy, Selection};
use transcribe::time::SAMPLE_RATE;
use transcribe::vad::VoiceDetector;

/// Samples per block, as decoders return them.
const BLOCK: usize = 8_000;

fn chunk(criterion: &mut Criterion) {
    let samples = samples().unwrap_or_default();
    let mut group = criterion.benchmark_group("chunk");
    group.throughput(Throughput::Elements((samples.len() / SAMPLE_RATE as usize) as u64)).sample_size(20);
    group.bench_function("voice activity", |bencher| {
        bencher.iter(|| {
            let (mut voice, mut out) = (VoiceDetector::new(), Vec::new());
            samples.chunks(BLOCK).for_each(|block| voice.push(block, &mut out));
            black_box(out.len())
        });
    });
    for target in [30.0, 120.0] {
        group.bench_function(format!("cuts, {target} s"), |bencher| {
            bencher.iter(|| {
                let mut splitter = AudioSplitter::new(CutPolicy::AtPauses(target), &Selection::default());
                let mut boundaries = Vec::new();
                samples.chunks(BLOCK).for_each(|block| splitter.push(block, &mut boundaries));
                splitter.finish(&mut boundaries, &mut Vec::new());
                black_box(boundaries.len())
            });
        });
    }
    group.finish();
}

/// Reads two minutes of speech.
fn samples() -> transcribe::error::Result<Vec<f32>> {
    let input = AudioInput::file("fixtures/long/long_en.flac")?;
    let mut reader = input.open(&AudioOptions::default())?;
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block()? {
        samples.extend_from_slice(block);
    }
    Ok(samples)
}

criterion_group!(benches, chunk);
criterion_main!(benches);
