//! Clips: equal to openai-whisper's `clip_timestamps`, and cut into chunks like whole recordings.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::program::{demo, fixture};

/// The result of a run on one recording.
pub struct Done {
    pub stderr: String,
    pub json: Value,
}

impl Done {
    /// Returns seek, start, end and text of each segment.
    pub fn segments(&self) -> Vec<(u64, f64, f64, String)> {
        let segments = self.json["segments"].as_array().unwrap().iter();
        let float = |value: &Value| value.as_f64().unwrap();
        segments
            .map(|s| {
                let text = s["text"].as_str().unwrap().to_owned();
                (s["seek"].as_u64().unwrap(), float(&s["start"]), float(&s["end"]), text)
            })
            .collect()
    }

    pub fn text(&self) -> &str {
        self.json["text"].as_str().unwrap()
    }

    /// Returns the number of windows from `--stats`.
    pub fn windows(&self) -> u64 {
        let line = self.stderr.lines().find(|line| line.starts_with("windows ")).unwrap();
        line.split_whitespace().nth(1).unwrap().trim_end_matches(',').parse().unwrap()
    }
}

/// Transcribes one recording with the demo model and returns its JSON.
pub fn transcribed(audio: &Path, args: &[&str]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let mut program = demo();
    program.arg(audio).args(["--stats", "--export", "json", "--output-dir"]).arg(folder.path()).args(args);
    let stderr = succeeded(program);
    let name = audio.file_stem().unwrap().to_str().unwrap();
    let json = fs::read(folder.path().join(format!("{name}.json"))).unwrap();
    Done { stderr, json: serde_json::from_slice(&json).unwrap() }
}

fn succeeded(mut program: Command) -> String {
    let output = program.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{program:?}: {stderr}");
    stderr
}

/// JSON leaves out the digits below.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[test]
fn clips_equal_openai() {
    let cases = fs::read(fixture("reference/clips.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let options = case["options"].as_object().unwrap();
        let mut args = vec!["--chunk-length", "0", "--temperature-increment-on-fallback", "none"];
        let arguments: Vec<(String, String)> = options
            .iter()
            .map(|(name, value)| {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                (format!("--{name}"), value)
            })
            .collect();
        arguments.iter().for_each(|(name, value)| args.extend([name.as_str(), value.as_str()]));
        let done = transcribed(&fixture(case["audio"].as_str().unwrap()), &args);
        let what = format!("{} {:?}", case["audio"], options);
        assert_eq!(done.text(), case["text"].as_str().unwrap(), "{what}");
        let theirs: Vec<(u64, f64, f64, String)> = case["segments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| serde_json::from_value::<(u64, u64, f64, f64, String)>(s.clone()).unwrap())
            .map(|(_, seek, start, end, text)| (seek, milliseconds(start), milliseconds(end), text))
            .collect();
        assert_eq!(done.segments(), theirs, "{what}");
    }
}

/// Times are relative to the recording, no segment exceeds the clip, and only windows in it are decoded.
#[test]
fn offset_and_duration_select_a_clip() {
    let audio = fixture("long/long_en.flac");
    let common = ["--language", "en", "--chunk-length", "10"];
    let by_length =
        transcribed(&audio, &[&common[..], &["--offset", "0:00:40.5", "--duration", "20"]].concat());
    let by_clip = transcribed(&audio, &[&common[..], &["--clip_timestamps", "40.5,60.5"]].concat());
    assert_eq!(by_length.json, by_clip.json);
    let segments = by_length.segments();
    assert!(segments.len() >= 3);
    assert!(segments.iter().all(|(seek, start, end, _)| *seek >= 4050 && *start >= 40.5 && *end <= 60.5));
    assert!(by_length.windows() <= 4, "{}", by_length.windows());
    // Inside the clip, the text equals that of the whole recording.
    let whole = transcribed(&audio, &common);
    let inside = |segments: Vec<(u64, f64, f64, String)>| -> Vec<String> {
        let inside = segments.into_iter().filter(|(_, start, end, _)| *start > 42.0 && *end < 58.0);
        inside.map(|(.., text)| text).collect()
    };
    let (ours, theirs) = (inside(by_length.segments()), inside(whole.segments()));
    let same = ours.iter().filter(|text| theirs.contains(text)).count();
    assert!(ours.len() == theirs.len() && same + 1 >= theirs.len(), "{ours:?} {theirs:?}");
}

/// Damage after the last clip is not even noticed.
#[test]
fn stops_reading_after_the_last_clip() {
    let folder = tempfile::tempdir().unwrap();
    let audio = folder.path().join("cut.flac");
    let whole = fs::read(fixture("long/long_en.flac")).unwrap();
    fs::write(&audio, &whole[..whole.len() / 2]).unwrap();
    let args = ["--language", "en", "--duration", "15"];
    let done = transcribed(&audio, &args);
    assert!(!done.stderr.contains("the file is shorter than it claims"), "{}", done.stderr);
    let (mut half, mut whole) = (done.json, transcribed(&fixture("long/long_en.flac"), &args).json);
    assert_eq!((half["source"].take(), whole["source"].take()), (json!("cut.flac"), json!("long_en.flac")));
    assert_eq!(half, whole);
    assert!(transcribed(&audio, &["--language", "en"]).stderr.contains("the file is shorter than it claims"));
}

#[test]
fn warns_of_clips_after_the_end() {
    let audio = fixture("long/short_en.flac");
    for chunk_length in ["0", "120"] {
        let done =
            transcribed(&audio, &["--clip-timestamps", "2,4,20,30,40", "--chunk-length", chunk_length]);
        assert!(
            done.stderr.contains("clip 20-30 begins after the end of the audio at 10.00 s"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("clip 40- begins after"), "{}", done.stderr);
        assert!(done.segments().iter().all(|segment| segment.2 <= 4.1 || chunk_length == "0"));
    }
    let done = transcribed(&audio, &["--offset", "1:00", "--language", "en"]);
    assert_eq!((done.segments().len(), done.text()), (0, ""));
    assert!(done.stderr.contains("clip 60- begins after"));
}

#[test]
fn rejects_invalid_clips() {
    for (clips, named) in [
        (["--clip-timestamps", "1,2,5,4"], "clip `5-4`: ends before it begins"),
        (["--clip-timestamps", "1,5,3,8"], "clip `3-8`: begins before"),
        (["--clip-timestamps", "1,x"], "time `x`"),
        (["--offset", "1:75"], "time `1:75`"),
        (["--duration", "0"], "has no length"),
    ] {
        let output = demo().arg(fixture("long/short_en.flac")).args(clips).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(named), "{clips:?}: {stderr}");
        assert_eq!(output.status.code(), Some(2));
    }
}
