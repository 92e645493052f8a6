//! The self-test: transcribes a recording with known text with the whole program.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::Write;

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::cli::args::CommandLine;
use crate::error::{Error, Result};
use crate::models::DEMO;
use crate::run::{self, CLIP, RunContext, RunEvent};

const CLIP_SECONDS: f64 = 10.0;

/// The segments that the demo model finds in it, with start and end in seconds, which equal those of openai's program.
const EXPECTED: [(f64, f64, &str); 3] = [
    (0.66, 1.38, "One three."),
    (2.44, 3.6, "The door is blue."),
    (5.86, 8.42, "Close Friday two eight Monday six door."),
];

/// One timestamp tick: devices that round differently may choose a neighbouring timestamp.
const TOLERANCE: f64 = 0.0201;

#[derive(Debug, Clone, Serialize)]
pub struct SelfTest {
    pub device: String,
    pub passed: bool,
    /// What differed or failed.
    pub faults: Vec<String>,
    pub audio_seconds: f64,
    /// The seconds of transcribing.
    pub seconds: f64,
    /// The seconds of finding and loading the model.
    pub load_seconds: f64,
}

/// Transcribes the clip on a device and compares text and times with the known ones.
pub fn run(device: &str, cancel: &CancelToken) -> SelfTest {
    let found = RefCell::new(Vec::new());
    let (seconds, load_seconds) = (Cell::new(0.0), Cell::new(0.0));
    let failure = RefCell::new(None);
    let done = transcribe(device, cancel, &|event| match event {
        RunEvent::Segments { segments, .. } => {
            found.borrow_mut().extend(segments.iter().map(|s| (s.start, s.end, s.text.trim().to_owned())));
        }
        RunEvent::ModelLoaded { seconds, .. } => load_seconds.set(seconds),
        RunEvent::Finished { seconds: taken, .. } => seconds.set(taken),
        RunEvent::Failed { error, .. } => {
            failure.borrow_mut().get_or_insert(error);
        }
        _ => {}
    });
    let faults = match (done, failure.take()) {
        (Ok(()), None) => compare(&found.borrow()),
        (Ok(()), Some(error)) => vec![error.chain()],
        (Err(error), _) => vec![error.chain()],
    };
    SelfTest {
        device: device.to_owned(),
        passed: faults.is_empty(),
        faults,
        audio_seconds: CLIP_SECONDS,
        seconds: seconds.get(),
        load_seconds: load_seconds.get(),
    }
}

fn transcribe(device: &str, cancel: &CancelToken, on_event: &dyn Fn(RunEvent)) -> Result<()> {
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|source| Error::Output { path: std::env::temp_dir(), source })?;
    let clip = folder.path().join("clip.flac");
    let written = std::fs::File::create(&clip).and_then(|mut file| file.write_all(CLIP));
    written.map_err(|source| Error::Output { path: clip.clone(), source })?;
    let line = ["transcribe", "--model", DEMO, "--language", "en", "--device", device];
    let line: Vec<OsString> = line.map(OsString::from).into_iter().chain([clip.into()]).collect();
    let args = CommandLine::parse_isolated(line).map_err(|error| Error::compute("reading options", error))?;
    let request = args.request()?;
    let first = |errors: Vec<Error>| errors.into_iter().next();
    run::run(&request, RunContext::new(cancel, on_event))
        .map_err(|errors| first(errors).unwrap_or_else(|| Error::usage("the self-test", "did not start")))
}

fn compare(found: &[(f64, f64, String)]) -> Vec<String> {
    let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
    let expected = EXPECTED.map(|(_, _, text)| text);
    if texts != expected {
        return vec![format!("found `{}` instead of `{}`", texts.join(" "), expected.join(" "))];
    }
    let pairs = found.iter().zip(EXPECTED);
    let off = |a: f64, b: f64| (a - b).abs() > TOLERANCE;
    pairs
        .filter(|((start, end, _), (from, to, _))| off(*start, *from) || off(*end, *to))
        .map(|((start, end, text), (from, to, _))| {
            format!("`{text}` is at {start:.2} to {end:.2} s instead of {from:.2} to {to:.2} s")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detects_wrong_words_and_times() {
        let shifted = |shift: f64| EXPECTED.map(|(from, to, text)| (from + shift, to, text.to_owned()));
        assert!(compare(&shifted(0.0)).is_empty() && compare(&shifted(0.02)).is_empty());
        assert_eq!(compare(&shifted(0.04)).len(), 3);
        assert!(compare(&shifted(0.0)[..2])[0].contains("instead of `One three. The door"));
        let mut other = shifted(0.0);
        other[1].2 = "The floor is blue.".into();
        assert_eq!(compare(&other).len(), 1);
    }

    /// The clip and the expected segments are those of the fixtures.
    #[test]
    fn expected_segments_are_those_of_openai() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reference/short_en.json");
        let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let segments = reference["variants"]["defaults"]["segments"].as_array().unwrap();
        assert_eq!(segments.len(), EXPECTED.len());
        for (segment, (start, end, text)) in segments.iter().zip(EXPECTED) {
            assert!((segment["start"].as_f64().unwrap() - start).abs() < 1e-6);
            assert!((segment["end"].as_f64().unwrap() - end).abs() < 1e-6);
            assert_eq!(segment["text"].as_str().unwrap().trim(), text);
        }
    }
}
