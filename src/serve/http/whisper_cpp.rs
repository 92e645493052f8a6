//! `/inference`, as whisper.cpp's server has it.

use std::sync::Arc;

use axum::extract::{Multipart, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::openai::{fallback_header, receive_form, submit};
use super::results::content_type;
use super::upload::Upload;
use super::waiting;
use crate::export::{Format, Rendering};
use crate::serve::Server;
use crate::serve::keys::Caller;
use crate::transcript::Segment;

/// A recording to transcribe. Any option of the command line may be a field of its own.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form")]
pub struct InferenceForm {
    #[schema(content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// `json`, `text`, `srt`, `vtt` or `verbose_json`.
    response_format: Option<String>,
    language: Option<String>,
    translate: Option<bool>,
    prompt: Option<String>,
    temperature: Option<f64>,
    temperature_inc: Option<f64>,
}

/// Fields of whisper.cpp with the options that they stand for.
const FIELDS: [(&str, &str); 9] = [
    ("language", "language"),
    ("prompt", "initial-prompt"),
    ("temperature", "temperature"),
    ("temperature_inc", "temperature-increment-on-fallback"),
    ("best_of", "best-of"),
    ("beam_size", "beam-size"),
    ("entropy_thold", "compression-ratio-threshold"),
    ("logprob_thold", "logprob-threshold"),
    ("no_speech_thold", "no-speech-threshold"),
];

/// Transcribes a recording, as whisper.cpp's server does.
#[utoipa::path(post, path = "/inference", tag = "whisper.cpp",
    request_body(content = InferenceForm, content_type = "multipart/form-data"),
    responses((status = 200, description = "the text in the format that was asked for", content_type = "application/json", body = String),
        (status = "4XX", body = ErrorAnswer), (status = "5XX", body = ErrorAnswer)))]
pub async fn inference(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> ApiResult<Response> {
    let mut upload = receive_form(&server, &caller, &headers, form).await?;
    let format = upload.take("response_format")?.unwrap_or_else(|| "json".into());
    let options = options(&mut upload)?;
    let pending = match format.as_str() {
        "json" | "text" | "verbose_json" | "srt" | "vtt" => {
            submit(&server, upload, options, caller.name).await?
        }
        other => {
            let message = format!("`{other}` is none of json, text, srt, vtt and verbose_json");
            return Err(ApiError::field("response_format", message));
        }
    };
    let transcript = waiting::transcript(&server, &pending.id).await?;
    let export = server.jobs.with(&pending.id, |job| job.settings.export.clone()).unwrap_or_default();
    // As there, a line for each segment.
    let lines: String = transcript.segments.iter().map(|segment| format!("{}\n", segment.text)).collect();
    let file = |format: Format| {
        let content = format.write(&Rendering::new(&transcript, &export));
        ([(header::CONTENT_TYPE, content_type(format))], content).into_response()
    };
    let fallback = fallback_header(&server, &pending.id);
    let answer = match format.as_str() {
        "text" => ([(header::CONTENT_TYPE, content_type(Format::Txt))], lines).into_response(),
        "srt" => file(Format::Srt),
        "vtt" => file(Format::Vtt),
        "verbose_json" => Json(json!({
            "task": if pending_translates(&server, &pending.id) { "translate" } else { "transcribe" },
            "language": transcript.language,
            "duration": transcript.duration,
            "text": lines,
            "segments": transcript.segments.iter().map(segment).collect::<Vec<_>>(),
        }))
        .into_response(),
        _ => Json(json!({ "text": lines })).into_response(),
    };
    Ok((fallback, answer).into_response())
}

fn pending_translates(server: &Server, id: &crate::serve::record::JobId) -> bool {
    let task =
        |job: &crate::serve::job::Job| job.settings.input.decode.task == crate::decode::Task::Translate;
    server.jobs.with(id, task).unwrap_or(false)
}

fn segment(segment: &Segment) -> Value {
    json!({
        "id": segment.id,
        "text": segment.text,
        "start": segment.start,
        "end": segment.end,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "no_speech_prob": segment.no_speech_prob,
    })
}

/// Reads the fields of a form; those that are not whisper.cpp's are options of the command line.
fn options(upload: &mut Upload) -> ApiResult<Map<String, Value>> {
    let mut options = Map::new();
    for (field, option) in FIELDS {
        if let Some(value) = upload.take(field)?.filter(|value| !value.is_empty()) {
            options.insert(option.to_owned(), Value::String(value));
        }
    }
    if upload.take("translate")?.is_some_and(|value| matches!(value.as_str(), "true" | "1")) {
        options.insert("task".into(), Value::String("translate".into()));
    }
    // Times in milliseconds; 0 means none.
    for (field, option) in [("offset_t", "offset"), ("duration", "duration")] {
        let Some(text) = upload.take(field)? else { continue };
        let ms: f64 =
            text.parse().map_err(|_| ApiError::field(field, format!("`{field}` is not a number")))?;
        if ms > 0.0 {
            options.insert(option.to_owned(), Value::String((ms / 1e3).to_string()));
        }
    }
    options.extend(upload.take_options()?);
    Ok(options)
}
