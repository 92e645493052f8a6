//! `/v1/jobs`: listing, watching, cancelling.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::job_view::{JobList, JobView};
use super::{sse, waiting};
use crate::serve::Server;
use crate::serve::keys::Caller;
use crate::serve::record::JobId;

const MAX_LIST: usize = 1000;
const DEFAULT_LIST: usize = 100;

/// Describes a job as it is now.
pub fn view(server: &Server, id: &JobId) -> Option<JobView> {
    let view = server.jobs.with(id, |job| JobView::new(job).with_text(job))?;
    Some(view.at(server.jobs.position(id)))
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `queued`, `running`, `completed` and so on.
    state: Option<String>,
    /// The last job of the page before.
    after: Option<String>,
    /// At most this many.
    limit: Option<usize>,
    /// The job that was submitted with this `Idempotency-Key`, if there is one.
    idempotency_key: Option<String>,
}

/// Lists jobs, the newest first: all of them, or those of the same key.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, body = JobList), (status = "4XX", body = ErrorAnswer)))]
pub async fn list(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<ListQuery>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Json<JobList>> {
    let Query(query) = query.map_err(|error| ApiError::invalid(error.body_text()))?;
    let limit = query.limit.unwrap_or(DEFAULT_LIST).clamp(1, MAX_LIST);
    let (mut data, mut has_more) = (Vec::new(), false);
    server.jobs.list(|job| {
        let is_later = query.after.as_deref().is_none_or(|after| job.id().as_str() < after);
        let is_asked_for = query.state.as_deref().is_none_or(|state| state == job.record.state.name());
        let key = job.record.submission.as_ref().map(|submission| &submission.key);
        let has_key = query.idempotency_key.as_ref().is_none_or(|wanted| key == Some(wanted));
        if is_later && is_asked_for && has_key && caller.may_read(job.record.owner.as_deref()) {
            has_more = data.len() == limit;
            if has_more {
                return false;
            }
            data.push(JobView::new(job));
        }
        true
    });
    let at = |view: JobView| {
        let position = JobId::parse(&view.id).and_then(|id| server.jobs.position(&id));
        view.at(position)
    };
    let data = data.into_iter().map(at).collect();
    Ok(Json(JobList { object: "list", data, has_more }))
}

/// Returns the name of a job that the caller may see; others are as unknown as those that do not exist.
pub fn readable(server: &Server, caller: &Caller, id: &str) -> ApiResult<JobId> {
    let known = JobId::parse(id).filter(|id| {
        let owner = server.jobs.with(id, |job| job.is_kept.then(|| job.record.owner.clone())).flatten();
        owner.is_some_and(|owner| caller.may_read(owner.as_deref()))
    });
    known.ok_or_else(|| ApiError::unknown_job(id))
}

/// Shows a job.
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = 404, body = ErrorAnswer)))]
pub async fn show(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> ApiResult<Json<JobView>> {
    let id = readable(&server, &caller, &id)?;
    view(&server, &id).map(Json).ok_or_else(|| ApiError::unknown_job(id.as_str()))
}

/// Cancels a job that has not ended. Deletes one that has ended, with its recording and its transcript.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = JobView), (status = 404, body = ErrorAnswer), (status = 403, body = ErrorAnswer)))]
pub async fn delete(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> ApiResult<Json<JobView>> {
    let id = readable(&server, &caller, &id)?;
    let may_change = server.jobs.with(&id, |job| caller.may_change(job.record.owner.as_deref()));
    if may_change != Some(true) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "missing_scope",
            "the API key may only read this job",
        ));
    }
    let (worker, name) = (Arc::clone(&server), id.clone());
    let view = spawn_blocking(move || {
        let was_active = worker.jobs.cancel(&name);
        let view = view(&worker, &name);
        if !was_active {
            worker.jobs.remove(&name);
        }
        view
    });
    let view = view.await.map_err(|error| ApiError::internal(error.to_string()))?;
    view.map(Json).ok_or_else(|| ApiError::unknown_job(id.as_str()))
}

/// An event of a job.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the stream")]
pub struct JobEvent {
    /// `state`, `segments`, `progress`, or `fallback` when the job gets the smaller model.
    event: String,
    /// JSON: the job, `{"segments": [{"start", "end", "text", "speaker"}]}`, or
    /// `{"seconds_done", "seconds_known", "language"}`, or `{"model", "instead_of", "reason", "at"}`.
    data: String,
}

/// Streams what happens to a job as server-sent events, from its first segment on: `state`, `segments` and `progress`.
/// The last event has the state that it ended in.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = JobEvent), (status = 404, body = ErrorAnswer)))]
pub async fn events(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let id = readable(&server, &caller, &id)?;
    let updates = waiting::updates(&server, &id).ok_or_else(|| ApiError::unknown_job(id.as_str()))?;
    Ok(sse::job_events(server, id, updates))
}
