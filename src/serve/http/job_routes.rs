//! `/v1/jobs`: submitting, watching, cancelling.

use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::access::require;
use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::job_view::{JobList, JobView};
use super::upload::{Upload, admit, receive};
use super::{sse, waiting};
use crate::export::Format;
use crate::serve::Server;
use crate::serve::background::fetch;
use crate::serve::keys::{Caller, Scope};
use crate::serve::outgoing::is_web_address;
use crate::serve::record::{JobId, JobRecord, JobSource, JobState, Webhook};

const MAX_LIST: usize = 1000;
const DEFAULT_LIST: usize = 100;
/// Priorities go from minus this to this.
const MAX_PRIORITY: i32 = 100;

/// A job whose recording is not uploaded.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JobRequest {
    /// The recording, to be downloaded by the server, if it allows that.
    url: Option<String>,
    /// The recording, below a folder that the server allows.
    path: Option<String>,
    /// Options of the command line that change the transcript or how it looks, by name: `{"language": "de", "vad": true}`.
    #[schema(value_type = Object)]
    options: Map<String, Value>,
    /// Formats that will be asked for, so that words get times if one of them shows words.
    outputs: Vec<String>,
    /// A URL to call when the job has ended.
    webhook: Option<String>,
    /// From -100 to 100; higher ones start earlier.
    priority: i32,
}

/// An uploaded job. Any option of the command line may be a field of its own.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub struct JobForm {
    #[schema(content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// Formats, separated by commas.
    outputs: Option<String>,
    webhook: Option<String>,
    priority: Option<i32>,
    language: Option<String>,
    model: Option<String>,
}

/// Submits a recording. When this is answered, the job survives any end of the server.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs",
    request_body(content((JobForm = "multipart/form-data"), (JobRequest = "application/json"))),
    responses((status = 202, body = JobView), (status = "4XX", body = ErrorAnswer), (status = "5XX", body = ErrorAnswer)))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> ApiResult<Response> {
    require(&caller, Scope::Submit)?;
    admit(&server, request.headers())?;
    let (job, upload) = if is_form(request.headers()) {
        let form = Multipart::from_request(request, &()).await;
        let mut upload =
            receive(&server, form.map_err(|error| ApiError::invalid(error.body_text()))?).await?;
        let job = from_form(&mut upload)?;
        (job, upload)
    } else {
        let Json(job) = Json::<JobRequest>::from_request(request, &())
            .await
            .map_err(|error| ApiError::invalid(format!("the job cannot be read: {}", error.body_text())))?;
        let id = JobId::new();
        let folder = server.jobs.state().incoming(&id).map_err(|error| ApiError::storage(&error))?;
        (job, Upload::without_recording(id, folder))
    };
    let source = source(&server, &job, &upload)?;
    let record = record(job, source, upload.id.clone(), caller.name)?;
    let id = record.id.clone();
    let is_fetching = record.state == JobState::Fetching;
    let (worker, folder) = (Arc::clone(&server), upload.folder);
    let accepted = spawn_blocking(move || worker.accept_job(record, folder)).await;
    accepted.map_err(|error| ApiError::internal(error.to_string()))??;
    if is_fetching {
        tokio::spawn(fetch(Arc::clone(&server), id.clone()));
    }
    let view = view(&server, &id).ok_or_else(|| ApiError::unknown_job(id.as_str()))?;
    let location = [(header::LOCATION, format!("/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(view)).into_response())
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"))
}

/// Reads the fields of a form; those that are not the job's own are options.
fn from_form(upload: &mut Upload) -> ApiResult<JobRequest> {
    let mut job = JobRequest { webhook: upload.take("webhook")?, ..JobRequest::default() };
    if let Some(outputs) = upload.take("outputs")? {
        job.outputs = outputs.split(',').map(|format| format.trim().to_owned()).collect();
    }
    if let Some(priority) = upload.take("priority")? {
        let priority = priority.trim().parse();
        job.priority =
            priority.map_err(|_| ApiError::field("priority", "`priority` is not a whole number"))?;
    }
    if let Some(options) = upload.take("options")? {
        let options = serde_json::from_str(&options);
        job.options = options.map_err(|error| {
            ApiError::field("options", format!("`options` is not a JSON object: {error}"))
        })?;
    }
    job.options.extend(upload.take_options()?);
    Ok(job)
}

/// Returns where the recording comes from, if it may come from there.
fn source(server: &Server, job: &JobRequest, upload: &Upload) -> ApiResult<JobSource> {
    match (&upload.name, &job.url, &job.path) {
        (Some(name), None, None) => Ok(JobSource::Upload(name.clone())),
        (None, Some(url), None) => {
            if !server.options.allows_urls {
                return Err(ApiError::forbidden(
                    "url",
                    "this server does not download recordings (`--allow-urls`)",
                ));
            }
            match is_web_address(url) {
                true => Ok(JobSource::Url(url.clone())),
                false => Err(ApiError::field("url", "`url` does not begin with `http://` or `https://`")),
            }
        }
        (None, None, Some(path)) => {
            // Links are followed before the folders are compared.
            let path = std::path::Path::new(path).canonicalize().ok();
            let is_below = |path: &std::path::PathBuf| {
                path.is_file() && server.options.folders.iter().any(|folder| path.starts_with(folder))
            };
            match path.filter(is_below) {
                Some(path) => Ok(JobSource::Path(path)),
                None => Err(ApiError::forbidden(
                    "path",
                    "`path` is not a file below a folder that this server allows (`--allow-folder`)",
                )),
            }
        }
        (None, None, None) => Err(ApiError::field("file", "a job needs a `file`, a `url` or a `path`")),
        _ => Err(ApiError::field("file", "a job takes one of `file`, `url` and `path`")),
    }
}

fn record(job: JobRequest, source: JobSource, id: JobId, owner: Option<String>) -> ApiResult<JobRecord> {
    let JobRequest { mut options, outputs, webhook, priority, .. } = job;
    if let Some(url) = webhook.as_ref().filter(|url| !is_web_address(url)) {
        return Err(ApiError::field(
            "webhook",
            format!("`webhook`: `{url}` does not begin with `http://` or `https://`"),
        ));
    }
    if !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&priority) {
        let message = format!("`priority` does not lie between -{MAX_PRIORITY} and {MAX_PRIORITY}");
        return Err(ApiError::field("priority", message));
    }
    for format in &outputs {
        format.parse::<Format>().map_err(|error| ApiError::field("outputs", error.to_string()))?;
    }
    if !outputs.is_empty() {
        options.insert("export".into(), Value::String(outputs.join(",")));
    }
    let webhook = webhook.map(|url| Webhook { url, attempts: 0, is_settled: false, outcome: None });
    let state = match source {
        JobSource::Url(_) => JobState::Fetching,
        JobSource::Upload(_) | JobSource::Path(_) => JobState::Queued,
    };
    Ok(JobRecord { owner, options, outputs, webhook, priority, ..JobRecord::new(id, source, state) })
}

fn view(server: &Server, id: &JobId) -> Option<JobView> {
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
        if is_later && is_asked_for && caller.may_read(job.record.owner.as_deref()) {
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
    /// `state`, `segments` or `progress`.
    event: String,
    /// JSON: the job, `{"segments": [{"start", "end", "text", "speaker"}]}`, or
    /// `{"seconds_done", "seconds_known", "language"}`.
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
