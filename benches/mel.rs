//! Speed of the log-mel. `elem/s` is seconds of audio per second, a multiple of real time.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use transcribe::mel::{ChunkFeatures, Features, MelMeter, MelStream};
use transcribe::time::{SAMPLE_RATE, WINDOW_FRAMES};

const SECONDS: usize = 120;
/// The block size of a decoder.
const BLOCK: usize = 8_000;

/// Returns a sweep with overtones; the content does not affect the time.
fn samples() -> Vec<f32> {
    (0..SECONDS * SAMPLE_RATE as usize)
        .map(|i| {
            let t = i as f32 / SAMPLE_RATE as f32;
            (t * (400.0 + t)).sin() * 0.3 + (t * 9_000.0).sin() * 0.05
        })
        .collect()
}

fn mel(criterion: &mut Criterion) {
    let samples = samples();
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in if all == 1 { vec![1] } else { vec![1, all] } {
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
            continue;
        };
        let mut group = criterion.benchmark_group(format!("mel, {threads} threads"));
        group.sample_size(10).throughput(Throughput::Elements(SECONDS as u64));
        for bins in [80, 128] {
            group.bench_function(BenchmarkId::new("frames", bins), |bencher| {
                let mut out = Vec::new();
                bencher.iter(|| {
                    pool.install(|| {
                        let mut stream = MelStream::new(bins);
                        for block in samples.chunks(BLOCK) {
                            out.clear();
                            stream.push(block, &mut out);
                        }
                        stream.finish(&mut out);
                        black_box(out.last().copied())
                    })
                });
            });
            group.bench_function(BenchmarkId::new("extent", bins), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        let mut meter = MelMeter::new(bins);
                        samples.chunks(BLOCK).for_each(|block| meter.push(block));
                        meter.finish()
                    })
                });
            });
        }
        group.finish();
    }
}

/// Latency of a window of a chunk.
fn window(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("window");
    for bins in [80, 128] {
        let raw = (0..2 * WINDOW_FRAMES * bins).map(|i| (i * 7_919 % 1_000) as f32 / 100.0 - 8.0).collect();
        let mut features = ChunkFeatures::new(bins, 0, raw, 2.0);
        let (mut seek, mut out) = (0, Vec::new());
        group.bench_function(BenchmarkId::new("frames", bins), |bencher| {
            bencher.iter(|| {
                seek = (seek + 37) % WINDOW_FRAMES;
                features.window(seek, WINDOW_FRAMES, &mut out).is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, mel, window);
criterion_main!(benches);
