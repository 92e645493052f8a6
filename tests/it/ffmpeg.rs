//! Inputs that an installed `ffmpeg` decodes: with a script in its place for everything that can go wrong, and with the real
//! one for the formats that only it knows. The latter are ignored by default, so that they never pass without it; `.ci/run`
//! includes them.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Ended, Running, demo, fixture, run};

/// A folder with a script called `ffmpeg`, and a recording that only `ffmpeg` knows.
struct Fake {
    folder: tempfile::TempDir,
}

impl Fake {
    fn new(script: &str) -> Self {
        let fake = Self { folder: tempfile::tempdir().unwrap() };
        let path = fake.at("ffmpeg");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(fake.at("talk.amr"), "#!AMR\nnothing that anybody could decode").unwrap();
        fake
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with nothing but the script on its `PATH`.
    fn program(&self, inputs: &[&str]) -> Command {
        let mut program = demo();
        program.env("PATH", self.folder.path()).args(inputs.iter().map(|name| self.at(name)));
        program
    }

    fn run(&self, inputs: &[&str]) -> Ended {
        run(self.program(inputs))
    }
}

/// A script that sends a WAV file, or its first bytes.
fn sends(file: &Path, bytes: Option<u32>) -> String {
    match bytes {
        Some(bytes) => format!("/usr/bin/head -c {bytes} '{}'", file.display()),
        None => format!("/bin/cat '{}'", file.display()),
    }
}

/// The test recording as a WAV file of 32-bit floats at 16 kHz, as the real program would send it.
fn speech_as_wav(folder: &Path) -> PathBuf {
    let path = folder.join("speech.wav");
    let input = transcribe::audio::AudioInput::file(fixture("long/short_en.flac")).unwrap();
    let mut reader = input.open(&transcribe::audio::AudioOptions::default()).unwrap();
    let mut bytes =
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0".to_vec();
    bytes.extend(b"data\xff\xff\xff\xff");
    while let Some(block) = reader.next_block().unwrap() {
        bytes.extend(block.iter().flat_map(|sample| sample.to_le_bytes()));
    }
    fs::write(&path, bytes).unwrap();
    path
}

/// The transcript that the program prints as JSON.
fn transcript(mut program: Command) -> Value {
    let output = program.args(["--export", "json", "--output-dir", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn without_ffmpeg(input: &Path) -> Value {
    let mut program = demo();
    program.arg(input);
    transcript(program)
}

#[track_caller]
fn fails(ended: &Ended, message: &str) {
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
}

#[test]
fn without_ffmpeg_the_message_says_what_the_file_is() {
    let fake = Fake::new("exit 9");
    fs::remove_file(fake.at("ffmpeg")).unwrap();
    let message = "talk.amr`: needs `ffmpeg`, which is not installed: AMR\nhint: install ffmpeg";
    fails(&fake.run(&["talk.amr"]), message);
    let mut program = fake.program(&["talk.amr"]);
    program.args(["--decoder", "builtin"]);
    fails(&run(program), "talk.amr`: not an audio or video file in a supported format");
    let mut program = fake.program(&[]);
    program.arg(fixture("audio/flac.flac")).args(["--decoder", "ffmpeg"]);
    fails(&run(program), "needs `ffmpeg`, which is not installed: `--decoder ffmpeg`");
}

#[test]
fn what_it_sends_is_transcribed_like_the_same_file() {
    let place = tempfile::tempdir().unwrap();
    let fake = Fake::new(&sends(&speech_as_wav(place.path()), None));
    let expected = without_ffmpeg(&fixture("long/short_en.flac"));
    let found = transcript(fake.program(&["talk.amr"]));
    assert_eq!((&found["text"], &found["segments"]), (&expected["text"], &expected["segments"]));
    let mut program = fake.program(&[]);
    program.arg(fixture("audio/flac.flac")).args(["--decoder", "ffmpeg"]);
    assert_eq!(transcript(program)["text"], expected["text"]);
}

#[test]
fn it_may_read_nothing_but_the_file() {
    let fake = Fake::new("printf '%s\\n' \"$@\" > \"${0%/*}/arguments\"; exit 1");
    fs::copy(fake.at("talk.amr"), fake.at("http:-i talk.amr")).unwrap();
    fake.run(&["http:-i talk.amr"]);
    let arguments = fs::read_to_string(fake.at("arguments")).unwrap();
    let arguments: Vec<&str> = arguments.lines().collect();
    let after = |name: &str| arguments[arguments.iter().position(|argument| *argument == name).unwrap() + 1];
    assert_eq!(after("-protocol_whitelist"), "file,pipe");
    assert_eq!(after("-i"), format!("file:{}", fake.at("http:-i talk.amr").display()));
    let formats: Vec<&str> = after("-format_whitelist").split(',').collect();
    assert!(formats.contains(&"mpegts") && !formats.contains(&"hls") && !formats.contains(&"concat"));
    assert!(arguments.contains(&"-nostdin"));
}

#[test]
fn its_failures_are_errors_of_the_input() {
    let script = "echo '[info] Input' >&2; echo '[amr @ 0x1] [error] Invalid data' >&2; exit 1";
    fails(
        &Fake::new(script).run(&["talk.amr"]),
        "talk.amr`: no audio can be decoded: ffmpeg: Invalid data\n",
    );
    let nothing = Fake::new("exit 0").run(&["talk.amr"]);
    fails(&nothing, "no audio can be decoded: ffmpeg: it wrote no audio");
    let garbage = Fake::new("echo this is no audio, whatever it is").run(&["talk.amr"]);
    fails(&garbage, "no audio can be decoded: ffmpeg: its output is not the requested audio");
    let tracks = "echo \"[info]   Stream #0:0: Audio: amr\" >&2; echo \"[fatal] Stream map '0:a:4' matches no streams.\" >&2";
    let fake = Fake::new(&format!("{tracks}; exit 1"));
    let mut program = fake.program(&["talk.amr"]);
    program.args(["--audio-track", "4"]);
    fails(&run(program), "has no audio track 4; it has 1");
    let not_run = Fake::new("exit 0");
    fs::write(not_run.at("ffmpeg"), "\x7fELF nonsense").unwrap();
    fails(&not_run.run(&["talk.amr"]), "no audio can be decoded: ffmpeg: ");
}

#[test]
fn output_that_ends_early_is_damage() {
    let place = tempfile::tempdir().unwrap();
    let wav = speech_as_wav(place.path());
    let half = fs::metadata(&wav).unwrap().len() as u32 / 2;
    let script = format!("{}; echo '[error] Input/output error' >&2; exit 1", sends(&wav, Some(half)));
    let ended = Fake::new(&script).run(&["talk.amr"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let message = "the file is shorter than it claims (ffmpeg: Input/output error)";
    assert!(ended.stderr.contains(message), "{}", ended.stderr);
    // It ends well, but has said that there is more.
    let script = format!(
        "echo '[info]   Duration: 00:01:00.00, start: 0' >&2; echo '[info] Output #0' >&2; {}; exit 0",
        sends(&wav, Some(half))
    );
    let ended = Fake::new(&script).run(&["talk.amr"]);
    assert!(ended.stderr.contains("s of 60.0 s are present"), "{}", ended.stderr);
    let script = format!("echo '[mp2 @ 0x1] [error] Header missing' >&2; {}", sends(&wav, None));
    let ended = Fake::new(&script).run(&["talk.amr"]);
    assert!(ended.stderr.contains("skipped 1 damaged packet (ffmpeg: Header missing)"), "{}", ended.stderr);
}

/// Waits until a process has gone.
fn is_gone(id: &str) -> bool {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        let alive = Command::new("sh").args(["-c", &format!("kill -0 {id} 2>/dev/null")]).status().unwrap();
        if !alive.success() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_script_that_hangs_is_killed_with_the_run() {
    let place = tempfile::tempdir().unwrap();
    let wav = speech_as_wav(place.path());
    // Before any output, in the middle of it, and after it.
    for sent in ["", &sends(&wav, Some(60_000)), &format!("{}; exec >&-", sends(&wav, None))] {
        for (name, number) in [("INT", 2), ("TERM", 15)] {
            let script = format!(
                "echo $$ > \"${{0%/*}}/id\"; {sent}\n/bin/mv \"${{0%/*}}/id\" \"${{0%/*}}/started\"; exec /bin/sleep 600"
            );
            let fake = Fake::new(&script);
            let running = Running::start(fake.program(&["talk.amr"]));
            let start = Instant::now();
            while !fake.at("started").exists() && start.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(10));
            }
            let id = fs::read_to_string(fake.at("started")).unwrap();
            running.signal(name);
            let ended = running.end();
            assert_eq!(ended.status.signal(), Some(number), "{sent}: {}", ended.stderr);
            assert!(!ended.stderr.contains("error"), "{sent}: {}", ended.stderr);
            assert!(is_gone(id.trim()), "{sent}");
        }
    }
}

#[test]
fn the_note_comes_once_in_a_run() {
    let place = tempfile::tempdir().unwrap();
    let fake = Fake::new(&sends(&speech_as_wav(place.path()), None));
    fs::copy(fake.at("talk.amr"), fake.at("walk.amr")).unwrap();
    let ended = fake.run(&["talk.amr", "walk.amr"]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("decoded with `ffmpeg`").count(), 1, "{}", ended.stderr);
    let mut program = fake.program(&[]);
    program.arg(fixture("long/short_en.flac"));
    assert!(!run(program).stderr.contains("ffmpeg"));
}

#[test]
fn doctor_says_whether_it_is_there() {
    let fake = Fake::new("exit 9");
    let report = |path: &Path| {
        let mut program = crate::program::bare();
        program.env("PATH", path).args(["doctor", "--json", "--device", "cpu"]);
        let report: Value = serde_json::from_slice(&program.output().unwrap().stdout).unwrap();
        report["ffmpeg"].clone()
    };
    assert_eq!(report(fake.folder.path()), fake.at("ffmpeg").to_str().unwrap());
    assert_eq!(report(Path::new("/nonexistent")), Value::Null);
}

/// Makes a file of the test recording with the real program.
fn encode(folder: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder.join(name);
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-v", "error", "-y", "-i"])
        .arg(fixture("long/short_en.flac"))
        .args(options)
        .arg(&path);
    assert!(ffmpeg.status().expect("ffmpeg must be installed").success(), "{name}");
    path
}

/// Decodes a file with the real program as any user would, to a format that is built in.
fn decode(path: &Path, track: &str) -> PathBuf {
    let decoded = path.with_extension("decoded.wav");
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-y", "-i"]).arg(path);
    ffmpeg.args(["-map", track, "-flags:a", "+bitexact", "-c:a", "pcm_f32le"]).arg(&decoded);
    assert!(ffmpeg.status().unwrap().success());
    decoded
}

#[track_caller]
fn assert_same(found: &Value, expected: &Value, what: &str) {
    assert!(expected["text"].as_str().unwrap().contains("The door is blue"), "{what}: {expected}");
    for key in ["text", "segments", "duration"] {
        assert_eq!(found[key], expected[key], "{what}: {key}");
    }
}

/// The program with the real one on its `PATH`.
fn real(input: &Path) -> Command {
    let mut program = demo();
    program.env("PATH", std::env::var_os("PATH").unwrap()).arg(input);
    program
}

const FORMATS: [(&str, &[&str]); 8] = [
    ("talk.ts", &["-c:a", "mp2", "-b:a", "256k", "-ar", "48000", "-ac", "2"]),
    ("talk.m2ts", &["-c:a", "ac3", "-b:a", "320k", "-ar", "48000"]),
    ("talk.wma", &["-c:a", "wmav2", "-b:a", "192k", "-ar", "44100"]),
    ("talk.ac3", &["-c:a", "ac3", "-b:a", "320k", "-ar", "48000"]),
    ("talk.eac3", &["-c:a", "eac3", "-b:a", "320k", "-ar", "48000"]),
    ("talk.dts", &["-c:a", "dca", "-strict", "-2", "-b:a", "768k", "-ar", "48000", "-ac", "2"]),
    ("talk.mka", &["-c:a", "ac3", "-b:a", "320k", "-ar", "48000"]),
    ("talk.avi", &["-c:a", "mp2", "-b:a", "256k", "-ar", "48000"]),
];

#[test]
#[ignore = "needs ffmpeg"]
fn formats_that_only_ffmpeg_knows_are_transcribed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in FORMATS {
        let path = encode(folder.path(), name, options);
        let expected = without_ffmpeg(&decode(&path, "0:a:0"));
        assert_same(&transcript(real(&path)), &expected, name);
        // From a pipe, without a name to go by.
        let mut program = real(Path::new("-"));
        program.stdin(Stdio::from(fs::File::open(&path).unwrap()));
        assert_same(&transcript(program), &expected, &format!("{name} from a pipe"));
    }
}

#[test]
#[ignore = "needs ffmpeg"]
fn channels_and_tracks_are_chosen_as_for_other_formats() {
    let folder = tempfile::tempdir().unwrap();
    // Speech in the second of two channels and in the second of two tracks.
    let filter = "[0:a]asplit=3[a][b][c];[a]volume=0[silent];[silent][b]join=inputs=2:channel_layout=stereo[both];[c]volume=0[quiet]";
    let options = [
        "-filter_complex",
        filter,
        "-map",
        "[quiet]",
        "-map",
        "[both]",
        "-c:a",
        "mp2",
        "-b:a",
        "256k",
        "-ar",
        "48000",
    ];
    let path = encode(folder.path(), "talk.ts", &options);
    let with = |options: &[&str]| {
        let mut program = real(&path);
        program.args(options);
        program
    };
    let mut builtin = demo();
    builtin.arg(decode(&path, "0:a:1")).args(["--channel", "1"]);
    let second = ["--audio-track", "1", "--channel", "1"];
    assert_same(&transcript(with(&second)), &transcript(builtin), "the second channel");
    assert_eq!(transcript(with(&["--audio-track", "1", "--channel", "0"]))["text"], "");
    fails(&run(with(&["--channel", "7"])), "has no channel 7; it has 1");
    fails(&run(with(&["--audio-track", "5"])), "has no audio track 5; it has 2");
}

#[test]
#[ignore = "needs ffmpeg"]
fn he_aac_gets_its_upper_band() {
    let folder = tempfile::tempdir().unwrap();
    let path = encode(folder.path(), "talk.m4a", &["-c:a", "aac", "-b:a", "128k", "-ar", "24000"]);
    let mut bytes = fs::read(&path).unwrap();
    // The configuration ends with a mark that the band is complete; say that 24 kHz of 48 are to be rebuilt.
    let at = bytes.windows(3).position(|three| three == [0x56, 0xe5, 0x00]).unwrap();
    bytes[at + 2] = 0x98;
    fs::write(&path, bytes).unwrap();
    let ended = run(real(&path));
    assert!(ended.stderr.contains("decoded with `ffmpeg`"), "{}", ended.stderr);
    let mut program = real(&path);
    program.args(["--decoder", "builtin"]);
    assert!(!run(program).stderr.contains("ffmpeg"));
    assert_same(&transcript(real(&path)), &without_ffmpeg(&decode(&path, "0:a:0")), "with all of the band");
}

#[test]
#[ignore = "needs ffmpeg"]
fn damage_and_other_files_are_what_they_are_without_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [("talk.ts", "mp2"), ("talk.mka", "ac3")] {
        let path = encode(folder.path(), name, &["-c:a", codec, "-ar", "48000"]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let ended = run(real(&path));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("damaged packet"), "{}", ended.stderr);
    }
    // Hardly more than the mark of the format is left.
    let path = encode(folder.path(), "talk.wma", &["-c:a", "wmav2"]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..40]).unwrap();
    fails(&run(real(&path)), "no audio can be decoded: ffmpeg: ");
    // A playlist names files that nobody has asked for.
    let at = |name: &str| folder.path().join(name);
    encode(folder.path(), "part.ts", &["-c:a", "mp2"]);
    fs::write(at("list.m3u8"), "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\npart.ts\n#EXT-X-ENDLIST\n")
        .unwrap();
    fs::write(at("list.wma"), "ffconcat version 1.0\nfile part.ts\n").unwrap();
    fs::write(at("notes.wma"), "these are only words\n".repeat(100)).unwrap();
    for name in ["list.m3u8", "list.wma", "notes.wma"] {
        fails(&run(real(&at(name))), "not an audio or video file in a supported format");
    }
}
