//! Measures decoding, mixing and resampling to 16 kHz on one core, per codec. ffmpeg creates the files on the first run;
//! without it nothing is measured. To compare, `ffmpeg -threads 1 -i FILE -ac 1 -ar 16000 -f f32le -y /dev/null` does the
//! same work.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use transcribe::audio::{AudioInput, AudioOptions};

const SECONDS: u64 = 120;
const FORMATS: [(&str, &[&str]); 6] = [
    ("mp3", &["-c:a", "libmp3lame", "-b:a", "128k"]),
    ("flac", &["-c:a", "flac"]),
    ("opus", &["-c:a", "libopus", "-b:a", "64k", "-ar", "48000"]),
    ("m4a", &["-c:a", "aac", "-b:a", "128k"]),
    ("ogg", &["-c:a", "libvorbis", "-q:a", "4"]),
    ("wav", &["-c:a", "pcm_s16le"]),
];

/// Returns two minutes of stereo speech at 44.1 kHz, or None without ffmpeg.
fn recording(extension: &str, codec: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("speech-{SECONDS}.{extension}"));
    if !file.exists() {
        let made = Command::new("ffmpeg")
            .args(["-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i"])
            .arg(root.join("fixtures/audio/flac.flac"))
            .args(["-t", &SECONDS.to_string(), "-ar", "44100"])
            .args(codec)
            .arg(&file)
            .status();
        made.ok().filter(|status| status.success())?;
    }
    Some(file)
}

fn read(file: &Path) -> usize {
    let input = AudioInput::file(file).expect("the file was just made");
    let mut reader = input.open(&AudioOptions::default()).expect("the file was just made");
    let mut samples = 0;
    while let Some(block) = reader.next_block().expect("the file is whole") {
        samples += black_box(block).len();
    }
    samples
}

/// Throughput is in samples at 16 kHz: 16 Melem/s is a thousand times real time.
fn front_end(c: &mut Criterion) {
    let mut group = c.benchmark_group("audio");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(6));
    group.throughput(Throughput::Elements(SECONDS * 16_000));
    for (extension, codec) in FORMATS {
        if let Some(file) = recording(extension, codec) {
            group.bench_function(extension, |b| b.iter(|| read(&file)));
        }
    }
    group.finish();
}

criterion_group!(benches, front_end);
criterion_main!(benches);
