//! Waits for what happens to a job.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::api_error::{ApiError, ApiResult};
use crate::serve::Server;
use crate::serve::record::{JobFailure, JobId, JobState, ModelFallback};
use crate::transcript::{Segment, Transcript};

/// Wakes whenever something has happened to a job, or when answers should end.
pub struct Updates {
    changes: Receiver<u64>,
    closing: Receiver<bool>,
}

impl Updates {
    /// Waits for the next change. Returns false if there will be none.
    pub async fn next(&mut self) -> bool {
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            _ = self.closing.wait_for(|closing| *closing) => false,
        }
    }
}

/// Subscribes to a job.
pub fn updates(server: &Server, id: &JobId) -> Option<Updates> {
    let changes = server.jobs.with(id, |job| job.subscribe())?;
    Some(Updates { changes, closing: server.closing.subscribe() })
}

/// What is new about a job since it was looked at last.
pub struct JobNews {
    pub state: JobState,
    pub segments: Vec<Segment>,
    pub progress: (f64, f64),
    pub language: Option<String>,
    pub failure: Option<JobFailure>,
    pub fallback: Option<ModelFallback>,
    /// The transcript of a request.
    pub transcript: Option<Arc<Transcript>>,
}

/// Returns what is new, with the segments after the first `seen`.
pub fn news(server: &Server, id: &JobId, seen: usize) -> Option<JobNews> {
    server.jobs.with(id, |job| JobNews {
        state: job.record.state,
        segments: job.segments.get(seen..).unwrap_or_default().to_vec(),
        progress: job.progress,
        language: job.language.clone(),
        failure: job.record.failure.clone(),
        fallback: job.record.fallback.clone(),
        transcript: job.transcript.clone(),
    })
}

/// Waits for the transcript of a request.
pub async fn transcript(server: &Server, id: &JobId) -> ApiResult<Arc<Transcript>> {
    let gone = || ApiError::internal("the request was removed");
    let mut updates = updates(server, id).ok_or_else(gone)?;
    loop {
        let news = news(server, id, usize::MAX).ok_or_else(gone)?;
        if news.state.is_ended() {
            return outcome(news);
        }
        if !updates.next().await {
            // The last change may have come with the end of the server.
            let news = self::news(server, id, usize::MAX).ok_or_else(gone)?;
            return if news.state.is_ended() { outcome(news) } else { Err(gone()) };
        }
    }
}

fn outcome(news: JobNews) -> ApiResult<Arc<Transcript>> {
    match (news.transcript, news.failure) {
        (Some(transcript), None) => Ok(transcript),
        (_, Some(failure)) => Err(ApiError::failed(&failure)),
        (None, None) => Err(ApiError::internal("the request was cancelled")),
    }
}
