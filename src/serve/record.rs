//! What is stored of a job, in its `job.json`.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use jiff::Timestamp;
use rand::{RngCore, rng};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::idempotency::Submission;
use crate::digest::hex;
use crate::error::Error;
use crate::report::kind;
use crate::transcript::Transcript;

/// Version of `job.json`; raised when an older program could not read it.
const SCHEMA: u32 = 1;

/// What clients are told when the server ends.
pub const ENDING: &str = "the server is ending";

/// Bytes of randomness in a name: enough that nobody guesses another one's.
const RANDOM_BYTES: usize = 10;

/// The name of a job. Names sort by the time at which they were made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// Makes a new name.
    pub fn new() -> Self {
        let mut random = [0; RANDOM_BYTES];
        rng().fill_bytes(&mut random);
        let time = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        Self(format!("{time:012x}{}", hex(&random)))
    }

    /// Returns the name if the text is one: nothing else may become a part of a path.
    pub fn parse(text: &str) -> Option<Self> {
        let is_name = text.len() == 12 + 2 * RANDOM_BYTES
            && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_name.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for JobId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a job's recording comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobSource {
    /// A file that was uploaded, by its name.
    Upload(String),
    /// A file that the server downloads.
    Url(String),
    /// A file on the server.
    #[schema(value_type = String)]
    Path(PathBuf),
}

impl JobSource {
    /// Returns the name of the recording, for people.
    pub fn name(&self) -> String {
        match self {
            JobSource::Upload(name) => name.clone(),
            JobSource::Url(url) => url.clone(),
            JobSource::Path(path) => path.display().to_string(),
        }
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Its recording is being downloaded.
    Fetching,
    Queued,
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl JobState {
    pub fn is_ended(self) -> bool {
        matches!(self, JobState::Completed | JobState::Failed | JobState::Cancelled)
    }

    pub fn name(self) -> &'static str {
        match self {
            JobState::Fetching => "fetching",
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Completed => "completed",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobFailure {
    /// What kind of failure it is, as reports name it; `ending` if the server ended before the answer.
    pub kind: String,
    pub message: String,
    /// What can be done about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<&Error> for JobFailure {
    fn from(error: &Error) -> Self {
        Self { kind: kind(error).into(), message: error.chain(), hint: error.hint() }
    }
}

impl JobFailure {
    /// Why requests fail when the server ends.
    const ENDING: &str = "ending";

    /// Says that the recording is not there.
    pub fn missing(message: impl Into<String>) -> Self {
        Self { kind: "missing".into(), message: message.into(), hint: None }
    }

    /// Says that the server ends.
    pub fn ending() -> Self {
        let (message, hint) = (ENDING.into(), Some("try again".into()));
        Self { kind: Self::ENDING.into(), message, hint }
    }

    pub fn is_ending(&self) -> bool {
        self.kind == Self::ENDING
    }
}

/// Figures about a finished transcript.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobResult {
    /// Seconds of audio.
    pub duration: f64,
    /// Code of the language.
    pub language: String,
    /// The model that was used.
    pub model: String,
    /// Seconds of work.
    pub seconds: f64,
    pub segments: usize,
    /// Number of speakers, if they were told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speakers: Option<usize>,
}

impl JobResult {
    /// Returns the figures of a transcript that took so many seconds of work.
    pub fn of(transcript: &Transcript, seconds: f64) -> Self {
        Self {
            duration: transcript.duration,
            language: transcript.language.clone(),
            model: transcript.model.name.clone(),
            seconds,
            segments: transcript.segments.len(),
            speakers: transcript.speakers.as_ref().map(|turns| turns.speakers.len()),
        }
    }
}

/// A smaller model that took the place of the usual one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelFallback {
    pub model: String,
    pub instead_of: String,
    /// What was short.
    pub reason: String,
    /// When that was decided.
    pub at: String,
}

/// A URL that is called when a job has ended, and whether that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub url: String,
    #[serde(default)]
    pub attempts: u32,
    /// It was answered, or given up.
    #[serde(default)]
    pub is_settled: bool,
    /// What became of the last attempt.
    #[serde(default)]
    pub outcome: Option<String>,
}

/// A job as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    pub schema: u32,
    pub id: JobId,
    /// The name of the API key that it was submitted with.
    pub owner: Option<String>,
    /// The key that makes repeated submissions the same job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<Submission>,
    pub created: String,
    /// Higher ones start earlier.
    pub priority: i32,
    pub source: JobSource,
    /// Options of the command line, by name.
    pub options: Map<String, Value>,
    /// The formats that were asked for; others can be had as well.
    pub outputs: Vec<String>,
    /// The smaller model that it got because memory was short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<ModelFallback>,
    pub webhook: Option<Webhook>,
    pub state: JobState,
    pub started: Option<String>,
    pub finished: Option<String>,
    pub failure: Option<JobFailure>,
    pub result: Option<JobResult>,
}

impl JobRecord {
    pub fn new(id: JobId, source: JobSource, state: JobState) -> Self {
        Self {
            schema: SCHEMA,
            id,
            owner: None,
            submission: None,
            created: now(),
            priority: 0,
            source,
            options: Map::new(),
            outputs: Vec::new(),
            fallback: None,
            webhook: None,
            state,
            started: None,
            finished: None,
            failure: None,
            result: None,
        }
    }

    /// Whether this program can read the record.
    pub fn is_readable(&self) -> bool {
        self.schema <= SCHEMA
    }
}

/// Returns the time as records and answers give it.
pub fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Returns how many seconds ago a time was; none if it is not one.
pub fn seconds_since(time: &str) -> Option<f64> {
    let time: Timestamp = time.parse().ok()?;
    Some(Timestamp::now().duration_since(time).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_paths_and_sort_by_time() {
        let first = JobId::new();
        assert_eq!(JobId::parse(first.as_str()), Some(first.clone()));
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(JobId::new() > first);
        let long = "a".repeat(64);
        for text in ["", "..", "../../../../../etc/passwd/xxxxxx", &long, &first.as_str().to_uppercase()] {
            assert_eq!(JobId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let mut record =
            JobRecord::new(JobId::new(), JobSource::Path("/srv/talk.mp3".into()), JobState::Queued);
        record.webhook =
            Some(Webhook { url: "https://host/".into(), attempts: 2, is_settled: false, outcome: None });
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<JobRecord>(&text).unwrap(), record);
        assert!(record.is_readable());
        let newer = text.replace("\"schema\":1", "\"schema\":2");
        assert!(!serde_json::from_str::<JobRecord>(&newer).unwrap().is_readable());
    }
}
