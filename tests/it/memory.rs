//! Checks that the program's peak memory does not grow with the length of the recording.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use transcribe::audio::{AudioInput, AudioOptions};

/// The tolerated growth in KB, far below the chunks of the longer recording.
const MAX_GROWTH: u64 = 20 << 10;

/// Writes a recording in 16-bit samples that repeats the fixture.
fn write_recording(path: &Path, times: usize) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/long_es.flac");
    let mut reader = AudioInput::file(fixture).unwrap().open(&AudioOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend(block.iter().flat_map(|sample| ((sample * 32768.0) as i16).to_le_bytes()));
    }
    let bytes = (samples.len() * times) as u32;
    let mut wav = Vec::with_capacity(44 + bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((bytes + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(16_000u32.to_le_bytes());
    wav.extend(32_000u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    (0..times).for_each(|_| wav.extend(&samples));
    std::fs::write(path, wav).unwrap();
}

/// Waits for a process, and returns its peak memory in KB. The kernel reports it only while the process exists.
fn wait_for_peak(mut child: Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn peak_of(folder: &Path, times: usize) -> u64 {
    let audio = folder.join(format!("{times}.wav"));
    write_recording(&audio, times);
    let mut program = Command::new(env!("CARGO_BIN_EXE_transcribe"));
    program.arg(&audio).args([
        "--model",
        "demo",
        "--language",
        "es",
        "--export",
        "all",
        "--chunk-length",
        "60",
        "--batch-size",
        "4",
    ]);
    wait_for_peak(program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn peak_memory_does_not_grow_with_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    // Both have more chunks than are in memory at a time.
    let (short, long) = (peak_of(folder.path(), 6), peak_of(folder.path(), 24));
    assert!(short > 1 << 10, "{short} KB is implausible");
    assert!(long < short + MAX_GROWTH, "{short} KB for 600 s, {long} KB for 2400 s");
}
