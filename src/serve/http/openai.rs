//! OpenAI's routes: `/v1/audio/transcriptions`, `/v1/audio/translations`, `/v1/models`.

use std::sync::Arc;

use axum::extract::{Multipart, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::access::require;
use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::results::content_type;
use super::upload::{Receiving, Upload, admit, receive};
use super::{sse, waiting};
use crate::decode::Language;
use crate::export::{Format, Rendering};
use crate::serve::Server;
use crate::serve::accept::PendingRequest;
use crate::serve::keys::{Caller, Scope};
use crate::serve::record::JobId;
use crate::transcript::{Segment, Transcript};

/// Names the smaller model that a request got because memory was short.
const FALLBACK_MODEL: HeaderName = HeaderName::from_static("x-transcribe-fallback-model");

/// A recording to transcribe. Any option of the command line may be a field of its own.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub struct TranscriptionForm {
    #[schema(content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// One of the server's models, or `whisper-1` for the first of them.
    model: Option<String>,
    language: Option<String>,
    prompt: Option<String>,
    /// `json`, `text`, `srt`, `vtt`, `verbose_json` or `diarized_json`.
    response_format: Option<String>,
    temperature: Option<f64>,
    /// `segment`, `word`, or both; with `verbose_json`.
    #[serde(rename = "timestamp_granularities[]")]
    timestamp_granularities: Option<Vec<String>>,
    /// Stream the text as server-sent events.
    stream: Option<bool>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerFormat {
    Json,
    VerboseJson { segments: bool, words: bool },
    DiarizedJson,
    Text,
    File(Format),
}

/// What a form asks for.
struct AudioRequest {
    options: Map<String, Value>,
    format: AnswerFormat,
    is_streamed: bool,
}

/// Transcribes a recording and answers with its text.
#[utoipa::path(post, path = "/v1/audio/transcriptions", tag = "openai",
    request_body(content = TranscriptionForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "the text in the format that was asked for", content_type = "application/json", body = String),
        (status = "4XX", body = ErrorAnswer), (status = "5XX", body = ErrorAnswer)))]
pub async fn transcriptions(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> ApiResult<Response> {
    respond(server, caller, headers, form, "transcribe").await
}

/// Translates a recording to English and answers with its text.
#[utoipa::path(post, path = "/v1/audio/translations", tag = "openai",
    request_body(content = TranscriptionForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "the text in the format that was asked for", content_type = "application/json", body = String),
        (status = "4XX", body = ErrorAnswer), (status = "5XX", body = ErrorAnswer)))]
pub async fn translations(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> ApiResult<Response> {
    respond(server, caller, headers, form, "translate").await
}

async fn respond(
    server: Arc<Server>,
    caller: Caller,
    headers: HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
    task: &'static str,
) -> ApiResult<Response> {
    let mut upload = receive_form(&server, &caller, &headers, form).await?;
    let request = read_form(&mut upload, task)?;
    let AudioRequest { options, format, is_streamed } = request;
    if let Some(Value::String(name)) = options.get("model")
        && !model_answers(&server).iter().any(|model| model.id == *name)
    {
        // OpenAI's status of it, for which their clients have an exception of its own.
        return Err(unknown_model(name));
    }
    let pending = submit(&server, upload, options, caller.name).await?;
    if is_streamed {
        let has_speakers = format == AnswerFormat::DiarizedJson;
        return Ok(sse::transcription_events(server, pending, has_speakers));
    }
    let transcript = waiting::transcript(&server, &pending.id).await?;
    let fallback = fallback_header(&server, &pending.id);
    let export = server.jobs.with(&pending.id, |job| job.settings.export.clone()).unwrap_or_default();
    let answer = match format {
        AnswerFormat::Json => Json(TextAnswer::new(&transcript)).into_response(),
        AnswerFormat::VerboseJson { segments, words } => {
            Json(VerboseAnswer::new(&transcript, task, segments, words)).into_response()
        }
        AnswerFormat::DiarizedJson => Json(DiarizedAnswer::new(&transcript)).into_response(),
        AnswerFormat::Text => {
            let kind = [(header::CONTENT_TYPE, content_type(Format::Txt))];
            (kind, format!("{}\n", transcript.text.trim())).into_response()
        }
        AnswerFormat::File(format) => {
            let content = format.write(&Rendering::new(&transcript, &export));
            ([(header::CONTENT_TYPE, content_type(format))], content).into_response()
        }
    };
    Ok((fallback, answer).into_response())
}

/// Returns a header that says so if a request got the smaller model.
pub fn fallback_header(server: &Server, id: &JobId) -> HeaderMap {
    let fallback = server.jobs.with(id, |job| job.record.fallback.clone()).flatten();
    // Names of models are no secret, but may hold what a header cannot.
    let name = fallback.and_then(|fallback| HeaderValue::from_bytes(fallback.model.as_bytes()).ok());
    name.into_iter().map(|name| (FALLBACK_MODEL, name)).collect()
}

/// Receives the form of a request that is answered at once.
pub async fn receive_form(
    server: &Arc<Server>,
    caller: &Caller,
    headers: &HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> ApiResult<Upload> {
    require(caller, Scope::Submit)?;
    let form = form.map_err(|error| ApiError::invalid(error.body_text()))?;
    admit(server, headers)?;
    receive(server, form, Receiving::Store).await
}

/// Queues a request that is answered at once.
pub async fn submit(
    server: &Arc<Server>,
    upload: Upload,
    options: Map<String, Value>,
    owner: Option<String>,
) -> ApiResult<PendingRequest> {
    let name = upload.recording()?;
    let (worker, Upload { id, folder, .. }) = (Arc::clone(server), upload);
    let accepted = spawn_blocking(move || worker.accept_request(name, options, owner, folder, id)).await;
    Ok(accepted.map_err(|error| ApiError::internal(error.to_string()))??)
}

/// Reads the fields of a form; those that are not OpenAI's are options of the command line.
fn read_form(upload: &mut Upload, task: &str) -> ApiResult<AudioRequest> {
    let mut options = Map::new();
    let mut set = |name: &str, value: Option<String>| {
        value.into_iter().for_each(|value| drop(options.insert(name.to_owned(), Value::String(value))));
    };
    for (field, option) in [
        ("model", "model"),
        ("language", "language"),
        ("prompt", "initial-prompt"),
        ("temperature", "temperature"),
    ] {
        set(option, upload.take(field)?.filter(|value| !value.is_empty()));
    }
    if task == "translate" {
        set("task", Some(task.to_owned()));
    }
    let mut granularities = upload.take_all("timestamp_granularities[]");
    granularities.extend(upload.take_all("timestamp_granularities"));
    let has = |name: &str| granularities.iter().any(|granularity| granularity == name);
    if let Some(unknown) = granularities.iter().find(|name| !matches!(name.as_str(), "word" | "segment")) {
        let message = format!("`{unknown}` is neither `word` nor `segment`");
        return Err(ApiError::field("timestamp_granularities[]", message));
    }
    let format = answer_format(upload.take("response_format")?.as_deref(), has("segment"), has("word"))?;
    if format == (AnswerFormat::DiarizedJson) && !upload.has("speakers") {
        set("speakers", Some("auto".into()));
    }
    if has("word") {
        match format {
            AnswerFormat::VerboseJson { .. } => set("word-timestamps", Some("true".into())),
            _ => {
                let message = "words have times only with `response_format=verbose_json`";
                return Err(ApiError::field("timestamp_granularities[]", message));
            }
        }
    }
    let is_streamed = match upload.take("stream")?.as_deref() {
        None | Some("" | "false" | "False" | "0") => false,
        Some("true" | "True" | "1") => true,
        Some(_) => return Err(ApiError::field("stream", "`stream` is neither `true` nor `false`")),
    };
    if is_streamed && !matches!(format, AnswerFormat::Json | AnswerFormat::Text | AnswerFormat::DiarizedJson)
    {
        let message = "only `json`, `text` and `diarized_json` can be streamed";
        return Err(ApiError::field("response_format", message));
    }
    // Recordings are always cut at pauses.
    if upload.take("chunking_strategy")?.is_some_and(|strategy| strategy != "auto") {
        return Err(ApiError::field("chunking_strategy", "`chunking_strategy` must be `auto`"));
    }
    for name in ["include[]", "include"] {
        if !upload.take_all(name).is_empty() {
            return Err(ApiError::field(
                "include[]",
                "`include[]` is not supported; `verbose_json` has log probabilities",
            ));
        }
    }
    options.extend(upload.take_options()?);
    Ok(AudioRequest { options, format, is_streamed })
}

fn answer_format(name: Option<&str>, segments: bool, words: bool) -> ApiResult<AnswerFormat> {
    Ok(match name.unwrap_or("json") {
        "json" => AnswerFormat::Json,
        // Without a choice there are segments.
        "verbose_json" => AnswerFormat::VerboseJson { segments: segments || !words, words },
        "diarized_json" => AnswerFormat::DiarizedJson,
        "text" => AnswerFormat::Text,
        "srt" => AnswerFormat::File(Format::Srt),
        "vtt" => AnswerFormat::File(Format::Vtt),
        other => {
            let message =
                format!("`{other}` is none of json, text, srt, vtt, verbose_json and diarized_json");
            return Err(ApiError::field("response_format", message));
        }
    })
}

#[derive(Serialize)]
struct Usage {
    r#type: &'static str,
    seconds: u64,
}

impl Usage {
    fn of(transcript: &Transcript) -> Self {
        Self { r#type: "duration", seconds: transcript.duration.ceil() as u64 }
    }
}

#[derive(Serialize)]
struct TextAnswer<'t> {
    text: &'t str,
    usage: Usage,
}

impl<'t> TextAnswer<'t> {
    fn new(transcript: &'t Transcript) -> Self {
        Self { text: transcript.text.trim(), usage: Usage::of(transcript) }
    }
}

#[derive(Serialize)]
struct VerboseAnswer<'t> {
    task: &'t str,
    language: &'t str,
    duration: f64,
    text: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<WordAnswer<'t>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segments: Option<Vec<VerboseSegment<'t>>>,
    usage: Usage,
}

#[derive(Serialize)]
struct WordAnswer<'t> {
    word: &'t str,
    start: f64,
    end: f64,
}

#[derive(Serialize)]
struct VerboseSegment<'t> {
    id: usize,
    seek: usize,
    start: f64,
    end: f64,
    text: &'t str,
    tokens: &'t [u32],
    temperature: f64,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
}

impl<'t> VerboseAnswer<'t> {
    fn new(transcript: &'t Transcript, task: &'t str, segments: bool, words: bool) -> Self {
        let language = Language::from_code(&transcript.language);
        let word = |word: &'t crate::transcript::Word| WordAnswer {
            word: word.word.trim(),
            start: word.start,
            end: word.end,
        };
        let all_words = || transcript.segments.iter().flat_map(|segment| segment.words.iter().flatten());
        Self {
            task,
            language: language.map_or(transcript.language.as_str(), |language| language.name()),
            duration: transcript.duration,
            text: transcript.text.trim(),
            words: words.then(|| all_words().map(word).collect()),
            segments: segments.then(|| transcript.segments.iter().map(VerboseSegment::from).collect()),
            usage: Usage::of(transcript),
        }
    }
}

impl<'t> From<&'t Segment> for VerboseSegment<'t> {
    fn from(segment: &'t Segment) -> Self {
        Self {
            id: segment.id,
            seek: segment.seek,
            start: segment.start,
            end: segment.end,
            text: &segment.text,
            tokens: &segment.tokens,
            temperature: segment.temperature,
            avg_logprob: segment.avg_logprob,
            compression_ratio: segment.compression_ratio,
            no_speech_prob: segment.no_speech_prob,
        }
    }
}

#[derive(Serialize)]
struct DiarizedAnswer<'t> {
    task: &'static str,
    duration: f64,
    text: &'t str,
    segments: Vec<DiarizedSegment<'t>>,
    usage: Usage,
}

#[derive(Serialize)]
struct DiarizedSegment<'t> {
    r#type: &'static str,
    id: String,
    start: f64,
    end: f64,
    text: &'t str,
    speaker: &'t str,
}

impl<'t> DiarizedAnswer<'t> {
    fn new(transcript: &'t Transcript) -> Self {
        let segments = transcript.segments.iter().filter(|segment| !segment.text.trim().is_empty());
        let segment = |segment: &'t Segment| DiarizedSegment {
            r#type: "transcript.text.segment",
            id: format!("seg_{}", segment.id),
            start: segment.start,
            end: segment.end,
            text: &segment.text,
            // Somebody speaks, but it is not known who.
            speaker: segment.speaker.as_deref().unwrap_or_default(),
        };
        Self {
            task: "transcribe",
            duration: transcript.duration,
            text: transcript.text.trim(),
            segments: segments.map(segment).collect(),
            usage: Usage::of(transcript),
        }
    }
}

/// The models that requests may ask for.
#[derive(Serialize, ToSchema)]
pub struct ModelList {
    object: &'static str,
    data: Vec<ModelAnswer>,
}

#[derive(Serialize, ToSchema)]
pub struct ModelAnswer {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

fn model_answers(server: &Server) -> Vec<ModelAnswer> {
    let names = server.options.models.iter().map(|model| model.name.clone());
    let model = |id| ModelAnswer { id, object: "model", created: 0, owned_by: "transcribe" };
    names.chain(["whisper-1".to_owned()]).map(model).collect()
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", tag = "openai", responses((status = 200, body = ModelList)))]
pub async fn models(State(server): State<Arc<Server>>) -> Json<ModelList> {
    Json(ModelList { object: "list", data: model_answers(&server) })
}

/// Describes a model.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "openai", params(("model" = String, Path)),
    responses((status = 200, body = ModelAnswer), (status = 404, body = ErrorAnswer)))]
pub async fn model(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
) -> ApiResult<Json<ModelAnswer>> {
    let found = model_answers(&server).into_iter().find(|model| model.id == name);
    found.map(Json).ok_or_else(|| unknown_model(&name))
}

fn unknown_model(name: &str) -> ApiError {
    let message = format!("this server has no model `{name}`; `/v1/models` lists those that it has");
    ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
}
