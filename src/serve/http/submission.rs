//! `POST /v1/jobs`: what a client may submit, and submissions that are repeated.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::access::require;
use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::job_routes::view;
use super::job_view::JobView;
use super::upload::{Receiving, Upload, admit, receive};
use crate::digest::sha256_hex;
use crate::export::Format;
use crate::serve::Server;
use crate::serve::background::fetch;
use crate::serve::idempotency::{KeyClaim, Submission, is_key};
use crate::serve::job::Job;
use crate::serve::keys::{Caller, Scope};
use crate::serve::outgoing::is_web_address;
use crate::serve::record::{JobId, JobRecord, JobSource, JobState, Webhook};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that the answer is an earlier submission's job.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
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

/// Submits a recording. When this is answered, the job survives any end of the server. The same submission with the same
/// `Idempotency-Key` is answered with the same job as long as the job is kept.
#[utoipa::path(post, path = "/v1/jobs", tag = "jobs",
    params(("Idempotency-Key" = Option<String>, Header, description = "what makes repeated submissions the same job")),
    request_body(content((JobForm = "multipart/form-data"), (JobRequest = "application/json"))),
    responses((status = 202, body = JobView), (status = 200, body = JobView, description = "it was submitted before"),
        (status = "4XX", body = ErrorAnswer), (status = "5XX", body = ErrorAnswer)))]
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> ApiResult<Response> {
    require(&caller, Scope::Submit)?;
    let key = submission_key(request.headers())?;
    let claim = key.map(|key| (server.jobs.keys.claim(caller.name.clone(), key.clone()), key));
    let (known, reserved) = match claim {
        None => (None, None),
        Some((KeyClaim::InUse, _)) => return Err(ApiError::key_in_use()),
        Some((KeyClaim::Known(id), _)) => (Some(id), None),
        Some((KeyClaim::New(reserved), key)) => (None, Some((reserved, key))),
    };
    let receiving = match (&known, &reserved) {
        (Some(_), _) => Receiving::DigestOnly,
        (None, Some(_)) => Receiving::StoreWithDigest,
        (None, None) => Receiving::Store,
    };
    if known.is_none() {
        admit(&server, request.headers())?;
    }
    let (job, upload) = read_submission(&server, request, receiving).await?;
    let digest = submission_digest(&job, &upload);
    if let Some(id) = known {
        return repeated(&server, &id, &digest);
    }
    let source = source(&server, &job, &upload)?;
    let mut record = record(job, source, upload.id.clone(), caller.name)?;
    let reserved = reserved.map(|(reserved, key)| {
        record.submission = Some(Submission { key, digest });
        reserved
    });
    let id = record.id.clone();
    let is_fetching = record.state == JobState::Fetching;
    let (worker, folder) = (Arc::clone(&server), upload.folder);
    let accepted = spawn_blocking(move || worker.accept_job(record, folder, reserved)).await;
    accepted.map_err(|error| ApiError::internal(error.to_string()))??;
    if is_fetching {
        tokio::spawn(fetch(Arc::clone(&server), id.clone()));
    }
    let view = view(&server, &id).ok_or_else(|| ApiError::unknown_job(id.as_str()))?;
    Ok((StatusCode::ACCEPTED, location(&id), Json(view)).into_response())
}

fn location(id: &JobId) -> [(HeaderName, String); 1] {
    [(header::LOCATION, format!("/v1/jobs/{id}"))]
}

/// Returns the key that a client chose, if it chose one.
fn submission_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    match key.to_str().ok().filter(|key| keys.next().is_none() && is_key(key)) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(ApiError::field(
            "Idempotency-Key",
            "`Idempotency-Key` is not one text of 1 to 255 printable ASCII characters",
        )),
    }
}

/// Receives the form or the JSON of a job.
async fn read_submission(
    server: &Arc<Server>,
    request: Request,
    receiving: Receiving,
) -> ApiResult<(JobRequest, Upload)> {
    if is_form(request.headers()) {
        let form = Multipart::from_request(request, &()).await;
        let form = form.map_err(|error| ApiError::invalid(error.body_text()))?;
        let mut upload = receive(server, form, receiving).await?;
        let job = from_form(&mut upload)?;
        return Ok((job, upload));
    }
    let Json(job) = Json::<JobRequest>::from_request(request, &())
        .await
        .map_err(|error| ApiError::invalid(format!("the job cannot be read: {}", error.body_text())))?;
    let id = JobId::new();
    let folder = server.jobs.state().incoming(&id).map_err(|error| ApiError::storage(&error))?;
    Ok((job, Upload::without_recording(id, folder)))
}

/// Returns a digest of everything that is asked for.
fn submission_digest(job: &JobRequest, upload: &Upload) -> String {
    // In the order of their names, however they were given.
    let options: BTreeMap<&String, &Value> = job.options.iter().collect();
    let JobRequest { url, path, outputs, webhook, priority, .. } = job;
    let Upload { name, digest, .. } = upload;
    let all = json!({ "url": url, "path": path, "name": name, "recording": digest, "options": options,
        "outputs": outputs, "webhook": webhook, "priority": priority });
    sha256_hex(all.to_string().as_bytes())
}

/// Answers a submission that repeats an earlier one with its job.
fn repeated(server: &Server, id: &JobId, digest: &str) -> ApiResult<Response> {
    let is_same = |job: &Job| job.record.submission.as_ref().is_some_and(|known| known.digest == digest);
    match server.jobs.with(id, is_same) {
        Some(true) => {}
        Some(false) => return Err(ApiError::key_reused(id.as_str())),
        // It was deleted meanwhile, and the key is free.
        None => return Err(ApiError::key_in_use()),
    }
    let view = view(server, id).ok_or_else(ApiError::key_in_use)?;
    server.jobs.counters.repeated();
    Ok((location(id), [(REPLAYED, "true")], Json(view)).into_response())
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
