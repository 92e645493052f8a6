//! `--speakers`: who speaks, from the recording to the outputs, and the folder of known voices.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use transcribe::audio::{AudioInput, AudioOptions};

use crate::program::{Running, bare, demo, fixture};

const RATE: u32 = 16_000;

/// The samples of a recording among the fixtures.
fn samples(name: &str) -> Vec<f32> {
    let path = fixture(name).with_extension("flac");
    let mut reader = AudioInput::file(path).unwrap().open(&AudioOptions::default()).unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend_from_slice(block);
    }
    samples
}

/// Writes channels of 16 bits.
fn write_wav(path: &Path, channels: &[Vec<f32>]) {
    let frames = channels.iter().map(Vec::len).max().unwrap();
    let bytes = (frames * channels.len() * 2) as u32;
    let count = channels.len() as u16;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    wav.extend(count.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend((RATE * u32::from(count) * 2).to_le_bytes());
    wav.extend((count * 2).to_le_bytes());
    wav.extend(16_u16.to_le_bytes());
    wav.extend(b"data");
    wav.extend(bytes.to_le_bytes());
    for frame in 0..frames {
        for channel in channels {
            let sample = channel.get(frame).copied().unwrap_or(0.0);
            wav.extend(((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16).to_le_bytes());
        }
    }
    fs::write(path, wav).unwrap();
}

/// A folder with recordings of one voice and of two.
struct Recordings(TempDir);

impl Recordings {
    fn new() -> Self {
        let folder = Recordings(tempfile::tempdir().unwrap());
        let (two, short) = (samples("speakers/two_voices"), samples("long/short_en"));
        write_wav(&folder.at("two.wav"), std::slice::from_ref(&two));
        write_wav(&folder.at("one.wav"), &[two[..16_000 * 10].to_vec()]);
        let pause = vec![0.0; short.len()];
        let (left, right) = ([&short[..], &pause].concat(), [&pause[..], &samples("long/short_es")].concat());
        // The right microphone hears the left one a little.
        let right = right.iter().zip(left.iter().chain(std::iter::repeat(&0.0))).map(|(r, l)| r + 0.1 * l);
        write_wav(&folder.at("stereo.wav"), &[left.clone(), right.collect()]);
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, input: &str, options: &[&str]) -> Command {
        let mut program = demo();
        program.arg(self.at(input)).args(options).arg("--output-dir").arg(self.at("out"));
        program
    }

    fn run(&self, input: &str, options: &[&str]) {
        let output = self.command(input, options).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    fn json(&self, input: &str) -> Value {
        serde_json::from_slice(&self.bytes(&format!("{input}.json"))).unwrap()
    }

    fn bytes(&self, output: &str) -> Vec<u8> {
        fs::read(self.at("out").join(output)).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn speakers(json: &Value) -> Vec<&str> {
    json["speakers"].as_array().unwrap().iter().map(|speaker| speaker["name"].as_str().unwrap()).collect()
}

/// The speakers of the segments, each once where it goes on.
fn turns_of_segments(json: &Value) -> Vec<&str> {
    let segments = json["segments"].as_array().unwrap().iter();
    let spoken = segments.filter(|segment| !segment["text"].as_str().unwrap().trim().is_empty());
    let mut speakers: Vec<&str> = spoken.map(|segment| segment["speaker"].as_str().unwrap()).collect();
    speakers.dedup();
    speakers
}

/// The turns, each speaker once where they go on.
fn turns(json: &Value) -> Vec<(f64, f64, &str)> {
    let mut joined: Vec<(f64, f64, &str)> = Vec::new();
    for turn in json["turns"].as_array().unwrap() {
        let [start, end] = ["start", "end"].map(|key| turn[key].as_f64().unwrap());
        let speaker = turn["speaker"].as_str().unwrap();
        match joined.last_mut() {
            Some(last) if last.2 == speaker => last.1 = end,
            _ => joined.push((start, end, speaker)),
        }
    }
    joined
}

#[test]
fn two_voices_are_two_speakers_in_every_output() {
    let folder = Recordings::new();
    let options = ["--speakers", "auto", "--export", "json,srt,vtt,rttm,txt", "--language", "en"];
    folder.run("two.wav", &options);
    let json = folder.json("two");
    let expected = [(0.5, 10.2, "Speaker 1"), (10.7, 21.3, "Speaker 2"), (21.8, 31.3, "Speaker 1")];
    let found = turns(&json);
    assert_eq!(found.len(), 3, "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.2, expected.2);
        assert!(
            (found.0 - expected.0).abs() < 0.6 && (found.1 - expected.1).abs() < 0.6,
            "{found:?} {expected:?}"
        );
    }
    let segments = json["segments"].as_array().unwrap();
    let spoken = segments.iter().filter(|segment| !segment["text"].as_str().unwrap().trim().is_empty());
    let words = spoken.flat_map(|segment| segment["words"].as_array().unwrap());
    // The demo model knows few words, but hears some.
    let words: Vec<_> = words.collect();
    assert!(!words.is_empty());
    for word in words {
        let middle = (word["start"].as_f64().unwrap() + word["end"].as_f64().unwrap()) / 2.0;
        let speaker = if (10.5..21.5).contains(&middle) { "Speaker 2" } else { "Speaker 1" };
        assert_eq!(word["speaker"], speaker, "{word}");
    }
    let rttm = text(&folder.bytes("two.rttm"));
    assert!(rttm.lines().all(|line| line.starts_with("SPEAKER two 1 ")), "{rttm}");
    assert!(rttm.contains(" Speaker_1 ") && rttm.contains(" Speaker_2 "), "{rttm}");
    assert!(text(&folder.bytes("two.vtt")).contains("<v Speaker 1>"));
}

#[test]
fn names_numbers_and_printed_text() {
    let folder = Recordings::new();
    let named = ["--speakers", "2", "--speaker-names", "Anna, Ben", "--export", "json", "--language", "en"];
    folder.run("two.wav", &named);
    assert_eq!(speakers(&folder.json("two")), ["Anna", "Ben"]);
    folder.run("two.wav", &["--speakers", "1", "--export", "json", "--overwrite", "--language", "en"]);
    assert_eq!(speakers(&folder.json("two")), ["Speaker 1"]);

    let mut program = demo();
    program.arg(fixture("long/short_en.flac")).arg(fixture("long/short_es.flac"));
    let output = program.args(["--speakers", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.starts_with("Speaker 1: One three.\nThe door is blue.\n"), "{printed}");
    assert_eq!(printed.matches("Speaker 1: ").count(), 2, "{printed}");
}

#[test]
fn each_channel_is_a_speaker_and_hears_no_other() {
    let folder = Recordings::new();
    let options =
        ["--speakers", "channels", "--speaker-names", "Agent", "--export", "json", "--language", "en"];
    folder.run("stereo.wav", &options);
    let json = folder.json("stereo");
    assert_eq!(speakers(&json), ["Agent", "Speaker 2"]);
    assert_eq!(turns_of_segments(&json), ["Agent", "Speaker 2"]);
    let of = |name: &str| -> String {
        let segments = json["segments"].as_array().unwrap().iter();
        let own = segments.filter(|segment| segment["speaker"] == name);
        own.map(|segment| segment["text"].as_str().unwrap()).collect()
    };
    assert!(of("Agent").trim().starts_with("One three. The door is blue. Close Friday"), "{}", of("Agent"));
    assert!(json["text"].as_str().unwrap().starts_with(&of("Agent")));
    let first = json["turns"].as_array().unwrap().iter().find(|turn| turn["speaker"] == "Speaker 2").unwrap();
    assert!(first["start"].as_f64().unwrap() > 9.5, "{first}");
    // The language of the first channel is that of all.
    let detected = ["--speakers", "channels", "--export", "json", "--overwrite"];
    folder.run("stereo.wav", &detected);
    assert_eq!(folder.json("stereo")["language"], "en");
    // One channel is one speaker.
    folder.run("one.wav", &["--speakers", "channels", "--export", "json", "--language", "en"]);
    assert_eq!(speakers(&folder.json("one")), ["Speaker 1"]);
}

#[test]
fn the_bytes_do_not_depend_on_threads_and_survive_a_stop() {
    let folder = Recordings::new();
    for (input, speakers) in [("two", "auto"), ("stereo", "channels")] {
        let options = ["--speakers", speakers, "--export", "json", "--chunk-length", "6", "--language", "en"];
        let wav = format!("{input}.wav");
        folder.run(&wav, &options);
        let whole = folder.bytes(&format!("{input}.json"));
        folder.run(&wav, &[&options[..], &["--overwrite", "--threads", "1", "--batch-size", "1"]].concat());
        assert!(folder.bytes(&format!("{input}.json")) == whole, "{input}");
        fs::remove_file(folder.at("out").join(format!("{input}.json"))).unwrap();
        let stopped = folder.command(&wav, &[&options[..], &["--batch-size", "1"]].concat());
        let mut running = Running::start_until(stopped, "stop encode 3");
        assert!(running.wait_for("test hook: "));
        running.signal("KILL");
        assert!(!running.end().status.success());
        let output = folder.command(&wav, &options).output().unwrap();
        assert!(
            output.status.success() && text(&output.stderr).contains("resum"),
            "{}",
            text(&output.stderr)
        );
        assert!(folder.bytes(&format!("{input}.json")) == whole, "{input} after a stop");
    }
}

fn voices(folder: &Recordings, arguments: &[&str]) -> Output {
    bare().arg("voices").args(arguments).arg("--voices").arg(folder.at("people")).output().unwrap()
}

#[test]
fn known_voices_give_their_names() {
    let folder = Recordings::new();
    let one = folder.at("one.wav");
    let enrolled = voices(&folder, &["enroll", "Anna", one.to_str().unwrap()]);
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    assert!(folder.at("people/Anna/one.wav").is_file());
    // A recording of the same name replaces none.
    assert!(voices(&folder, &["enroll", "Anna", one.to_str().unwrap()]).status.success());
    assert!(folder.at("people/Anna/one-2.wav").is_file());
    let people = folder.at("people");
    let options =
        ["--speakers", "auto", "--export", "json", "--language", "en", "--voices", people.to_str().unwrap()];
    folder.run("two.wav", &options);
    assert_eq!(speakers(&folder.json("two")), ["Anna", "Speaker 1"]);
    assert!(text(&voices(&folder, &["list"]).stdout).contains("Anna"));
    let unknown = voices(&folder, &["remove", "Ben"]);
    assert_eq!((unknown.status.code(), text(&unknown.stderr).contains("known are Anna")), (Some(2), true));
    assert!(voices(&folder, &["remove", "Anna"]).status.success());
    assert_eq!(text(&voices(&folder, &["list"]).stdout), "");
    // Another folder of voices makes other outputs.
    let again = folder.command("two.wav", &options).output().unwrap();
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert_eq!(speakers(&folder.json("two")), ["Speaker 1", "Speaker 2"]);
}

#[test]
fn mistakes_are_named_before_anything_is_started() {
    let folder = Recordings::new();
    let silent = folder.at("silent.wav");
    write_wav(&silent, &[vec![0.0; 16_000 * 12]]);
    let none = folder.at("none");
    let empty = folder.at("empty");
    fs::create_dir(&empty).unwrap();
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--export", "rttm"], 2, "add `--speakers auto`"),
        (&["--speakers", "0"], 2, "a number from 1 to 60"),
        (&["--speakers", "2", "--speaker-names", "Anna,Anna"], 2, "a name of their own"),
        (&["--speakers", "auto", "--voices", &path(&none)], 2, "--voices"),
        (&["--speakers", "channels", "--voices", &path(&empty)], 2, "no effect"),
        (
            &["--speakers", "auto", "--speakers-model", &path(&empty)],
            3,
            "`segmentation.safetensors` is missing",
        ),
        (&["--speakers", "auto", "--speakers-model", &path(&none)], 2, "--speakers-model"),
    ];
    for (options, code, message) in cases {
        let options = [options, &["--export", "json"]].concat();
        let output = folder.command("one.wav", &options).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{options:?}: {stderr}");
        assert!(stderr.contains(message), "{options:?}: {stderr}");
    }
    fs::write(empty.join("segmentation.safetensors"), b"nonsense").unwrap();
    fs::write(empty.join("embedding.safetensors"), b"nonsense").unwrap();
    let options = ["--speakers", "auto", "--speakers-model", &path(&empty), "--export", "json"];
    let output = folder.command("one.wav", &options).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let silence = voices(&folder, &["enroll", "Nobody", &path(&silent)]);
    assert_eq!(silence.status.code(), Some(1), "{}", text(&silence.stderr));
    assert!(text(&silence.stderr).contains("nobody speaks"), "{}", text(&silence.stderr));
    let named = voices(&folder, &["enroll", "../Anna", &path(&folder.at("one.wav"))]);
    assert_eq!(named.status.code(), Some(2), "{}", text(&named.stderr));
}
