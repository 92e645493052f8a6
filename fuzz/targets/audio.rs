//! Recordings: containers, codecs, edit lists and pages, decoded to the end; and what only looks at their beginning.

use std::hash::{DefaultHasher, Hasher};

use transcribe::audio::{
    AudioInput, AudioOptions, AudioReader, DecoderChoice, is_recording, probe_duration, read_ffmpeg_output,
};
use transcribe::error::Result;

use super::Scratch;

/// Samples after which decoding stops: four minutes.
const MAX_SAMPLES: u64 = 4 << 20;
/// Louder than any sample that is passed on, after resampling.
const MAX_AMPLITUDE: f32 = 1e7;

fn options() -> AudioOptions {
    AudioOptions { decoder: DecoderChoice::Builtin, ..AudioOptions::default() }
}

/// Decodes the bytes on one thread, and some of them on several: the samples are the same.
pub fn decode(bytes: &[u8]) -> String {
    let input = match AudioInput::reader("fuzz", bytes) {
        Ok(input) => input,
        Err(error) => return error.chain(),
    };
    let alone = read(input.open(&options()));
    // Threads are slow to start.
    if bytes.len().is_multiple_of(8) {
        let beside = read(input.open_prefetching(&options(), 2));
        assert_eq!(alone, beside, "on several threads");
    }
    let channels = input.channels(&options()).map_err(|error| error.chain());
    format!("{alone} {channels:?}")
}

/// Returns the number of samples, their digest and the damage, or the error.
fn read(opened: Result<AudioReader>) -> String {
    let mut reader = match opened {
        Ok(reader) => reader,
        Err(error) => return error.chain(),
    };
    let duration = reader.duration_hint();
    assert!(duration.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0), "{duration:?}");
    let (mut digest, mut samples) = (DefaultHasher::new(), 0);
    while samples < MAX_SAMPLES {
        match reader.next_block() {
            Ok(Some(block)) => {
                for sample in block {
                    assert!(sample.abs() <= MAX_AMPLITUDE, "{sample}");
                    digest.write_u32(sample.to_bits());
                }
                samples += block.len() as u64;
            }
            Ok(None) => {
                let damage = reader.damage();
                let (packets, incomplete) = (damage.packets, damage.incomplete);
                return format!("{duration:?} {samples} {:x} {packets} {incomplete}", digest.finish());
            }
            Err(error) => return error.chain(),
        }
    }
    // Blocks differ in length, so that the digest of an unfinished recording says nothing.
    "long".to_owned()
}

/// Reads what `ffmpeg` says, up to a zero byte, and what it writes. Where blocks end makes no difference.
pub fn ffmpeg(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (log, output) = bytes.split_at(end);
    let output = output.get(1..).unwrap_or_default();
    let whole = read_ffmpeg_output(log, output, output.len());
    assert_eq!(whole, read_ffmpeg_output(log, output, 7), "in other blocks");
    if let Ok((rate, samples)) = &whole.1 {
        assert!((1_000..=768_000).contains(rate), "{rate}");
        assert!(samples.iter().all(|sample| sample.abs() <= MAX_AMPLITUDE), "{samples:?}");
    }
    format!("{whole:?}")
}

/// Looks at the first bytes of a file, and at its headers.
pub fn sniff(bytes: &[u8]) -> String {
    let file = Scratch::new("recording", bytes);
    let duration = probe_duration(&file.path, &options());
    assert!(duration.is_none_or(|seconds| seconds.is_finite() && seconds >= 0.0), "{duration:?}");
    format!("{} {duration:?}", is_recording(&file.path))
}
