//! The voice activity report: speech regions and skipped silence, one line of JSON per input.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use crate::transcript::{SkipReason, Skipped, Transcript};

/// What every report begins with.
const BEGINNING: &[u8] = b"{\"input\":";

/// An open report.
pub struct VadReport {
    path: PathBuf,
    file: File,
}

impl VadReport {
    /// Creates the report. An existing file that is not such a report is left alone, as it may be a recording.
    pub fn create(path: &Path) -> Result<Self> {
        let mut beginning = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning));
        if path.is_file() && (read.is_err() || !BEGINNING.starts_with(&beginning)) {
            return Err(Error::Usage {
                what: format!("`--vad-report {}`", path.display()),
                why: "exists and is not a voice activity report".into(),
                hint: Some("choose another name".into()),
            });
        }
        let file = File::create(path).map_err(|source| Error::Output { path: path.into(), source })?;
        Ok(Self { path: path.into(), file })
    }

    pub fn add(&mut self, transcript: &Transcript) -> Result<()> {
        let span = |(start, end): &(f64, f64)| json!({"start": start, "end": end});
        let speech: Option<Vec<_>> = transcript.speech.as_ref().map(|s| s.iter().map(span).collect());
        let skip = |s: &Skipped| json!({"start": s.start, "end": s.end, "why": s.why.name()});
        let skipped: Vec<_> = transcript.skipped.iter().map(skip).collect();
        // Sums of binary fractions have digits of noise.
        let rounded = |seconds: f64| (seconds * 1e6).round() / 1e6;
        let speech_seconds =
            transcript.speech.iter().flatten().fold(0.0, |sum, (start, end)| sum + end - start);
        let line = json!({
            "input": transcript.source,
            "duration": transcript.duration,
            "speech": speech,
            "skipped": skipped,
            "seconds_of_speech": rounded(speech_seconds),
            "seconds_of_silence_skipped": rounded(transcript.skipped_seconds(SkipReason::Silence)),
            "seconds_not_asked_for": rounded(transcript.skipped_seconds(SkipReason::NotAskedFor)),
        });
        writeln!(self.file, "{line}").map_err(|source| Error::Output { path: self.path.clone(), source })
    }
}
