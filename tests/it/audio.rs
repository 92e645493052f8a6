//! The audio module on real files: durations of every format against ffmpeg's, similarity to the original, damage,
//! streams.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use proptest::prelude::*;
use transcribe::audio::{AudioDamage, AudioInput, AudioOptions, DecoderChoice};
use transcribe::error::{Error, InputProblem};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/audio")
}

/// Returns ffmpeg's sample count for every intact file.
fn expected() -> BTreeMap<String, usize> {
    serde_json::from_str(&fs::read_to_string(folder().join("expected.json")).unwrap()).unwrap()
}

type Outcome = Result<(Vec<f32>, AudioDamage), InputProblem>;

fn input_problem(error: Error) -> InputProblem {
    match error {
        Error::Input { why, .. } => why,
        other => panic!("not an input problem: {other}"),
    }
}

/// Reads with the built-in decoders, whether or not `ffmpeg` is installed.
fn read(input: Result<AudioInput, Error>, options: &AudioOptions) -> Outcome {
    let options = AudioOptions { decoder: DecoderChoice::Builtin, ..options.clone() };
    let mut reader = input.and_then(|input| input.open(&options)).map_err(input_problem)?;
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().map_err(input_problem)? {
        samples.extend_from_slice(block);
    }
    assert!(reader.next_block().map_err(input_problem)?.is_none(), "the end is final");
    Ok((samples, reader.damage().clone()))
}

fn read_file(name: &str, options: &AudioOptions) -> Outcome {
    read(AudioInput::file(folder().join(name)), options)
}

/// Returns the samples of an intact file.
fn samples_of(name: &str) -> Vec<f32> {
    let (samples, damage) = read_file(name, &AudioOptions::default()).unwrap();
    assert_eq!(damage, AudioDamage::default(), "{name}");
    samples
}

fn channel(n: usize) -> AudioOptions {
    AudioOptions { channel: Some(n), ..Default::default() }
}

fn track(n: usize) -> AudioOptions {
    AudioOptions { track: Some(n), ..Default::default() }
}

/// Returns the interleaved samples of a 16-bit WAV file written by ffmpeg.
fn wav_samples(name: &str) -> Vec<f32> {
    let bytes = fs::read(folder().join(name)).unwrap();
    let data = bytes.windows(4).position(|w| w == b"data").unwrap() + 8;
    bytes[data..].chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0).collect()
}

fn original(side: usize) -> Vec<f32> {
    wav_samples("original.wav").chunks_exact(2).map(|lr| lr[side]).collect()
}

/// Returns the correlation of two recordings, from -1 to 1, when the first is `lag` samples late.
fn correlation(late: &[f32], reference: &[f32], lag: usize) -> f64 {
    let pairs = late.iter().skip(lag).zip(reference);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (&a, &b) in pairs {
        let (a, b) = (f64::from(a), f64::from(b));
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    ab / (aa * bb).sqrt()
}

#[test]
fn durations_match_ffmpeg() {
    for (name, want) in expected() {
        // Tolerance of one codec packet at 16 kHz: ffmpeg keeps padding that we trim, or the reverse.
        let packet = match name.as_str() {
            "aac.mov" => 744,
            "aac.mp4" => 342,
            "chained.ogg" => 372,
            n if n.contains("opus") => 320,
            n if n.ends_with(".m4a") || n.ends_with(".mp4") => 372,
            n if n.starts_with("mp3") => 418,
            n if n.ends_with(".webm") || n == "two-tracks.mkv" => 320,
            _ => 1,
        };
        let input = AudioInput::file(folder().join(&name)).unwrap();
        let hint = input.open(&AudioOptions::default()).unwrap().duration_hint();
        let got = samples_of(&name).len();
        assert!(got.abs_diff(want) <= packet, "{name}: {got} samples, ffmpeg has {want}");
        if let Some(hint) = hint.filter(|_| name != "chained.ogg") {
            assert!(
                (hint - got as f64 / 16_000.0).abs() < 0.12,
                "{name}: hint of {hint} s for {got} samples"
            );
        }
    }
}

#[test]
fn every_format_correlates_with_the_original() {
    let (left, right) = (original(0), original(1));
    let mean: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) / 2.0).collect();
    for name in expected().into_keys() {
        // Minimum correlation after lossy coding and lower rates.
        let least = match name.as_str() {
            "two-tracks.m4a" | "two-tracks.mkv" | "chained.ogg" => continue,
            "opus-low.opus" => 0.80,
            "opus.opus" => 0.85,
            n if n.contains("8k.") => 0.90,
            n if n.contains("opus") || n == "video.webm" => 0.90,
            n if n.contains("aac") || n.contains("mp3") || n.contains("vorbis") => 0.95,
            n if n.starts_with("video") => 0.92,
            n if n.starts_with("f64") || n.contains("11k") => 0.95,
            n if n.starts_with("adpcm") || n.starts_with("fragmented") || n.starts_with("faststart") => 0.95,
            _ => 0.99,
        };
        // Without metadata about the encoder's delay, ffmpeg keeps it too.
        let delay = match name.as_str() {
            "aac.aac" | "aac.mkv" | "fragmented.mp4" => 372,
            "untagged.mp3" | "mp3.mkv" => 401,
            _ => 0,
        };
        let got = samples_of(&name);
        let similarity = correlation(&got, &mean, delay);
        assert!(similarity > least, "{name}: correlation {similarity:.4}");
        let best = (delay.saturating_sub(30)..delay + 30)
            .max_by(|&a, &b| correlation(&got, &mean, a).total_cmp(&correlation(&got, &mean, b)))
            .unwrap();
        assert!(best.abs_diff(delay) <= 1, "{name}: {best} samples late, not {delay}");
    }
}

#[test]
fn s16_at_16_khz_is_bit_exact() {
    assert_eq!(samples_of("s16-16k-mono.wav"), wav_samples("s16-16k-mono.wav"));
    for side in 0..2 {
        assert_eq!(read_file("original.wav", &channel(side)).unwrap().0, original(side));
    }
    let mean: Vec<f32> = original(0).iter().zip(original(1)).map(|(l, r)| l * 0.5 + r * 0.5).collect();
    assert_eq!(samples_of("original.wav"), mean);
}

#[test]
fn selects_tracks_and_channels() {
    let (english, german) = (original(0), original(1));
    for name in ["two-tracks.m4a", "two-tracks.mkv"] {
        let first = read_file(name, &AudioOptions::default()).unwrap().0;
        assert!(correlation(&first, &english, 0) > 0.9, "{name}");
        assert_eq!(read_file(name, &track(0)).unwrap().0, first, "{name}");
        let second = read_file(name, &track(1)).unwrap().0;
        assert!(correlation(&second, &german, 0) > 0.9, "{name}");
        assert!(matches!(
            read_file(name, &track(2)),
            Err(InputProblem::NoSuchTrack { asked: 2, available: 2 })
        ));
    }
    for name in
        ["cbr.mp3", "aac.m4a", "opus.ogg", "vorbis.ogg", "flac.flac", "six-channels.wav", "opus-six.opus"]
    {
        for (side, voice) in [&english, &german].into_iter().enumerate() {
            let got = read_file(name, &channel(side + usize::from(side == 1 && name == "opus-six.opus")));
            let similarity = correlation(&got.unwrap().0, voice, 0);
            assert!(similarity > 0.9, "{name} {side}: {similarity}");
        }
        assert!(matches!(
            read_file(name, &channel(9)),
            Err(InputProblem::NoSuchChannel { asked: 9, available: 2 | 6 })
        ));
    }
}

#[test]
fn chained_streams_are_concatenated() {
    let got = samples_of("chained.ogg");
    let (left, right) = (original(0), original(1));
    let mean: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) / 2.0).collect();
    assert!(correlation(&got[..16_000], &mean, 0) > 0.95);
    assert!(correlation(&got[16_000..], &mean[..16_000], 0) > 0.95);
}

#[test]
fn streams_decode_like_files() {
    for name in ["aac.m4a", "s24-44k.wav", "opus.opus", "video.mp4", "flac.flac"] {
        let from_file = samples_of(name);
        let stream = AudioInput::reader("-", File::open(folder().join(name)).unwrap()).unwrap();
        assert_eq!(stream.name(), "-");
        let options = AudioOptions::default();
        let (mut a, mut b) = (stream.open(&options).unwrap(), stream.open(&options).unwrap());
        let (mut first, mut second) = (Vec::new(), Vec::new());
        loop {
            let block = a.next_block().unwrap().map(|block| first.extend_from_slice(block));
            let other = b.next_block().unwrap().map(|block| second.extend_from_slice(block));
            assert_eq!(block, other, "{name}: readers of one stream are not independent");
            if block.is_none() {
                break;
            }
        }
        assert_eq!(first, from_file, "{name}");
        assert_eq!(second, from_file, "{name}");
    }
    assert!(matches!(
        AudioInput::reader("-", std::io::empty()).map_err(input_problem),
        Err(InputProblem::Empty)
    ));
}

#[test]
fn unusable_files_report_the_reason() {
    let rejected = |name: &str| read_file(name, &AudioOptions::default()).unwrap_err();
    assert!(matches!(rejected("nowhere.wav"), InputProblem::Unreadable(_)));
    assert!(matches!(rejected("damaged"), InputProblem::Directory));
    assert!(matches!(rejected("damaged/empty.wav"), InputProblem::Empty));
    assert!(matches!(rejected("damaged/headless.m4a"), InputProblem::NoIndex));
    for name in ["text.mp3", "zeros.wav", "garbage.flac"] {
        let why = rejected(&format!("damaged/{name}"));
        assert!(matches!(why, InputProblem::NotAudio), "{name}: {why}");
    }
    for name in ["silent-film.mp4", "silent-film.webm"] {
        let why = rejected(&format!("damaged/{name}"));
        assert!(matches!(why, InputProblem::NoAudioTrack), "{name}: {why}");
    }
    let undecodable = [
        "no-channels.wav",
        "absurd-rate.wav",
        "header-only.wav",
        "garbage.ogg",
        "headless-vorbis.ogg",
        "riddled-flac.flac",
    ];
    for name in undecodable {
        let why = rejected(&format!("damaged/{name}"));
        assert!(matches!(why, InputProblem::Undecodable(_)), "{name}: {why}");
    }
    assert_eq!(read_file("damaged/zero-length.wav", &AudioOptions::default()).unwrap(), Default::default());
}

#[test]
fn damage_loses_only_the_damaged_part() {
    for (name, whole) in expected() {
        for (kind, least) in [("flipped", 0.4), ("truncated", 0.4)] {
            let path = format!("damaged/{kind}-{name}");
            if !folder().join(&path).exists() {
                continue;
            }
            let (samples, damage) = read_file(&path, &AudioOptions::default()).unwrap();
            let share = samples.len() as f64 / whole as f64;
            assert!((least..1.02).contains(&share), "{path}: {share:.2} of the file");
            assert!(damage.any() && damage.first.is_some(), "{path}: {damage:?}");
        }
    }
    let (_, damage) = read_file("damaged/flipped-aac.aac", &AudioOptions::default()).unwrap();
    assert!(damage.packets >= 3, "{damage:?}");
}

/// Builds a mono WAV file of 32-bit floats.
fn wav(rate: u32, samples: impl ExactSizeIterator<Item = f32>) -> Vec<u8> {
    let size = samples.len() as u32 * 4;
    let mut out = b"RIFF".to_vec();
    out.extend((size + 36).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0");
    out.extend(rate.to_le_bytes());
    out.extend((rate * 4).to_le_bytes());
    out.extend(b"\x04\0\x20\0data");
    out.extend(size.to_le_bytes());
    out.extend(samples.flat_map(f32::to_le_bytes));
    out
}

fn read_bytes(bytes: Vec<u8>) -> Vec<f32> {
    read(AudioInput::reader("test", Cursor::new(bytes)), &AudioOptions::default()).unwrap().0
}

#[test]
fn reads_a_wav_stream_without_length_to_its_end() {
    let mut bytes = fs::read(folder().join("s16-16k-mono.wav")).unwrap();
    let data = bytes.windows(4).position(|w| w == b"data").unwrap();
    bytes[4..8].fill(0xFF);
    bytes[data + 4..data + 8].fill(0xFF);
    let got = read(AudioInput::reader("-", Cursor::new(bytes)), &AudioOptions::default()).unwrap();
    assert_eq!(got, (wav_samples("s16-16k-mono.wav"), AudioDamage::default()));
}

/// The length in an MP3 tag cannot be trusted: it may describe only the first of several concatenated files.
#[test]
fn reads_mp3_beyond_the_length_in_its_tag() {
    for (first, then) in [("cbr.mp3", "vbr.mp3"), ("untagged.mp3", "vbr.mp3"), ("vbr.mp3", "mono-22k.mp3")] {
        let parts = [first, then].map(|name| fs::read(folder().join(name)).unwrap());
        let got = read(AudioInput::reader("two", Cursor::new(parts.concat())), &AudioOptions::default());
        let (samples, _) = got.unwrap();
        assert!((63_500..66_000).contains(&samples.len()), "{first} and {then}: {}", samples.len());
    }
}

/// Returns the value at `t` of a linear sine sweep from 20 Hz to `top` in `seconds`.
fn sweep(t: f64, top: f64, seconds: f64) -> f64 {
    0.5 * (TAU * (20.0 * t + (top - 20.0) * t * t / (2.0 * seconds))).sin()
}

#[test]
fn resampled_sweep_is_clean_and_aligned() {
    let seconds = 6.0;
    for rate in [8_000, 11_025, 22_050, 32_000, 44_100, 44_101, 48_000, 96_000, 192_000] {
        // 90 % of the band common to both rates.
        let top = f64::from(rate.min(16_000)) * 0.45;
        let count = (seconds * f64::from(rate)) as usize;
        let got =
            read_bytes(wav(rate, (0..count).map(|i| sweep(i as f64 / f64::from(rate), top, seconds) as f32)));
        assert_eq!(got.len(), 96_000, "{rate} Hz");
        let (mut signal, mut noise) = (0.0, 0.0);
        // Skips the edges in the first and last 50 ms.
        for (i, &sample) in got.iter().enumerate().take(95_200).skip(800) {
            let want = sweep(i as f64 / 16_000.0, top, seconds);
            signal += want * want;
            noise += (f64::from(sample) - want).powi(2);
        }
        let snr = 10.0 * (signal / noise).log10();
        println!("{rate} Hz: {snr:.1} dB");
        // A rate without common factors needs such long transforms that f32 precision limits the result.
        let least = if rate == 44_101 { 80.0 } else { 90.0 };
        assert!(snr > least, "{rate} Hz: {snr:.1} dB");
    }
}

#[test]
fn frequencies_above_the_band_do_not_alias() {
    for hertz in [8_400.0, 9_000.0, 12_000.0, 15_900.0, 20_000.0] {
        let tone = (0..88_200).map(|i| (TAU * hertz * f64::from(i) / 44_100.0).sin() as f32);
        let got = read_bytes(wav(44_100, tone));
        let loudest = got[800..31_200].iter().fold(0.0f32, |m, s| m.max(s.abs()));
        let level = 20.0 * loudest.max(1e-9).log10();
        println!("{hertz} Hz: {level:.1} dB");
        assert!(level < -90.0, "{hertz} Hz: {level:.1} dB left");
    }
}

#[test]
fn non_finite_samples_do_not_spread() {
    let mut samples = vec![0.25f32; 44_100];
    samples[20_000] = f32::INFINITY;
    samples[20_001] = f32::NAN;
    let got = read_bytes(wav(44_100, samples.into_iter()));
    assert!(got.iter().all(|s| s.is_finite()));
    assert!((got[1_000] - 0.25).abs() < 1e-4 && (got[14_000] - 0.25).abs() < 1e-4);
}

/// Returns the resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let pages: u64 =
        fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn long_recordings_are_streamed() {
    // Runs in its own process, so that the memory of other tests does not count.
    const CHILD: &str = "AUDIO_TEST_ALONE";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.env(CHILD, "1").args(["--exact", "audio::long_recordings_are_streamed"]);
        let output = child.output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        return;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    // Forty minutes at 48 kHz: 460 MB of silence in a sparse file.
    let mut header = wav(48_000, std::iter::empty());
    header[4..8].copy_from_slice(&(460_800_000u32 + 36).to_le_bytes());
    header[40..44].copy_from_slice(&460_800_000u32.to_le_bytes());
    file.write_all(&header).unwrap();
    file.as_file().set_len(460_800_044).unwrap();
    let before = resident_bytes();
    let mut reader = AudioInput::file(file.path()).unwrap().open(&AudioOptions::default()).unwrap();
    let (mut samples, mut peak) = (0, 0);
    while let Some(block) = reader.next_block().unwrap() {
        samples += block.len();
        peak = peak.max(resident_bytes());
    }
    assert_eq!(samples, 40 * 60 * 16_000);
    let growth = peak.saturating_sub(before) >> 20;
    // The file itself would be 440 MiB, its samples 147 MiB.
    assert!(growth < 30, "grew by {growth} MiB");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resampling_keeps_the_duration(hundreds in 40u32..1_930, odd in 0u32..4, count in 0usize..30_000) {
        let rate = hundreds * 100 + odd * 25;
        let got = read_bytes(wav(rate, (0..count).map(|_| 0.5)));
        let want = (count as f64 * 16_000.0 / f64::from(rate)).round() as usize;
        prop_assert!(got.len().abs_diff(want) <= 1, "{count} at {rate} Hz: {} for {want}", got.len());
    }
}

#[test]
fn rejects_implausible_samples() {
    for rate in [16_000, 48_000] {
        for outlier in [f32::MAX, -1e30, 1e7, f32::NAN, f32::NEG_INFINITY] {
            let samples = read_bytes(wav(rate, (0..9_600).map(|at| if at == 4_800 { outlier } else { 0.5 })));
            let loudest = samples.iter().fold(0f32, |most, sample| most.max(sample.abs()));
            assert!(
                samples.iter().all(|s| s.is_finite()) && loudest < 1.0,
                "{outlier} at {rate} Hz: {loudest}"
            );
        }
    }
}

/// Silences the panics that are caught and counted as damage.
fn silence_codec_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default_hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !transcribe::audio::is_catching_codec_panics() {
                default_hook(panic);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Arbitrary bytes neither panic nor yield an implausible amount of audio.
    #[test]
    fn corrupted_files_never_panic(
        pick in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..24),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        silence_codec_panics();
        let names: Vec<String> = expected().into_keys().collect();
        let mut bytes = fs::read(folder().join(pick.get(&names))).unwrap();
        // Half of the changes hit the first kilobyte, where the headers are.
        let head = bytes.len().min(1_024);
        for (at, value, front) in flips {
            let len = if front { head } else { bytes.len() };
            bytes[at.index(len)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(1));
        }
        if let Ok((samples, _)) = read(AudioInput::reader("fuzz", Cursor::new(bytes)), &AudioOptions::default()) {
            prop_assert!(samples.len() < 16_000 * 600, "{} samples", samples.len());
            prop_assert!(samples.iter().all(|s| s.is_finite()));
        }
    }
}
