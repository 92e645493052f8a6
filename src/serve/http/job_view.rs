//! A job as clients see it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::export::Format;
use crate::serve::job::Job;
use crate::serve::record::{JobFailure, JobResult, JobSource, JobState, ModelFallback};

/// A job: what was asked for, how far it is, and where its results are.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobView {
    pub id: String,
    object: &'static str,
    /// The `Idempotency-Key` that it was submitted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    pub state: JobState,
    /// How many jobs start before this one, while it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    created: String,
    started: Option<String>,
    finished: Option<String>,
    priority: i32,
    source: JobSource,
    /// Options of the command line, by name.
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    outputs: Vec<String>,
    /// The smaller model that it got because memory was short.
    fallback: Option<ModelFallback>,
    progress: JobProgress,
    language: Option<String>,
    /// The text so far, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    result: Option<JobResult>,
    error: Option<JobFailure>,
    webhook: Option<WebhookView>,
    links: JobLinks,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct JobProgress {
    /// Seconds of audio that are done.
    seconds_done: f64,
    /// Seconds of audio that are known of.
    seconds_known: f64,
    /// From 0 to 1.
    share: f64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct WebhookView {
    url: String,
    attempts: u32,
    /// What became of the last attempt.
    outcome: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
struct JobLinks {
    #[serde(rename = "self")]
    itself: String,
    events: String,
    /// The transcript in every format that there is, by name, once the job is completed.
    results: BTreeMap<&'static str, String>,
}

impl JobView {
    /// Describes a job.
    pub fn new(job: &Job) -> Self {
        let record = &job.record;
        let at = |rest: &str| format!("/v1/jobs/{}{rest}", record.id);
        let has_speakers = record.result.as_ref().is_some_and(|result| result.speakers.is_some());
        let formats = Format::ALL.into_iter().filter(|format| has_speakers || !format.needs_speakers());
        let results = formats.filter(|_| record.state == JobState::Completed);
        let (done, known) = match (&record.result, record.state) {
            (Some(result), JobState::Completed) => (result.duration, result.duration),
            _ => job.progress,
        };
        let share = match record.state {
            JobState::Completed => 1.0,
            _ if known > 0.0 => (done / known).clamp(0.0, 1.0),
            _ => 0.0,
        };
        Self {
            id: record.id.to_string(),
            object: "job",
            idempotency_key: record.submission.as_ref().map(|submission| submission.key.clone()),
            state: record.state,
            position: None,
            created: record.created.clone(),
            started: record.started.clone(),
            finished: record.finished.clone(),
            priority: record.priority,
            source: record.source.clone(),
            options: record.options.clone(),
            outputs: record.outputs.clone(),
            fallback: record.fallback.clone(),
            progress: JobProgress { seconds_done: done, seconds_known: known, share },
            language: record.result.as_ref().map(|result| result.language.clone()).or(job.language.clone()),
            text: None,
            result: record.result.clone(),
            error: record.failure.clone(),
            webhook: record.webhook.as_ref().map(|webhook| WebhookView {
                url: webhook.url.clone(),
                attempts: webhook.attempts,
                outcome: webhook.outcome.clone(),
            }),
            links: JobLinks {
                itself: at(""),
                events: at("/events"),
                results: results.map(|f| (f.name(), at(&format!("/transcript.{}", f.name())))).collect(),
            },
        }
    }

    /// Adds how many jobs start before it.
    pub fn at(self, position: Option<usize>) -> Self {
        Self { position, ..self }
    }

    /// Adds the text so far.
    pub fn with_text(self, job: &Job) -> Self {
        let text: String = job.segments.iter().map(|segment| segment.text.as_str()).collect();
        Self { text: (job.record.state == JobState::Running).then_some(text), ..self }
    }
}

/// A page of the list of jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobList {
    pub object: &'static str,
    pub data: Vec<JobView>,
    /// There are older ones: ask for those `after` the last of these.
    pub has_more: bool,
}
