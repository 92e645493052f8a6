//! The results of jobs: the transcript in every format, and the recording.

use std::io::SeekFrom;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;

use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use super::job_routes::readable;
use crate::export::{Format, HtmlAudio, JsonStyle, Media, Rendering};
use crate::import::from_import::from_openai_json;
use crate::serve::Server;
use crate::serve::keys::Caller;
use crate::serve::record::{JobId, JobState};
use crate::serve::state_dir::safe_name;
use crate::store::waveform_file;
use crate::transcript::Transcript;

/// The largest recording that a page embeds.
const MAX_EMBEDDED: u64 = 128 << 20;

/// Returns the type of a format's content.
pub fn content_type(format: Format) -> &'static str {
    match format.name() {
        "json" => "application/json",
        "html" => "text/html; charset=utf-8",
        "vtt" => "text/vtt; charset=utf-8",
        "srt" => "application/x-subrip; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

/// Returns the transcript of a completed job in a format: `transcript.srt`, `transcript.json` and so on. Options of how
/// subtitles look can be changed in the query.
#[utoipa::path(get, path = "/v1/jobs/{id}/{file}", tag = "jobs",
    params(("id" = String, Path), ("file" = String, Path, description = "`transcript.` and the name of a format")),
    responses((status = 200, content_type = "text/plain", body = String), (status = 404, body = ErrorAnswer),
        (status = 409, body = ErrorAnswer, description = "the job is not completed")))]
pub async fn transcript(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path((id, file)): Path<(String, String)>,
    Query(query): Query<Map<String, Value>>,
) -> ApiResult<Response> {
    let id = readable(&server, &caller, &id)?;
    let format = file.strip_prefix("transcript.").and_then(|name| name.parse::<Format>().ok());
    let Some(format) = format.filter(|format| file == format!("transcript.{}", format.name())) else {
        let names = Format::ALL.map(|format| format!("`transcript.{}`", format.name())).join(", ");
        let message = format!("a job has no `{file}`; it has {names}");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    let state = server.jobs.with(&id, |job| job.record.state);
    if let Some(state) = state.filter(|state| *state != JobState::Completed) {
        let message = format!("the job is {}, not completed", state.name());
        return Err(ApiError::new(StatusCode::CONFLICT, "job_not_completed", message));
    }
    let content = spawn_blocking(move || render(&server, &id, format, query)).await;
    let (name, content) = content.map_err(|error| ApiError::internal(error.to_string()))??;
    let headers = [
        (header::CONTENT_TYPE, content_type(format).to_owned()),
        (header::CONTENT_DISPOSITION, disposition(&name, format)),
    ];
    Ok((headers, content).into_response())
}

/// Names the file that a transcript is saved as, after its recording.
fn disposition(recording: &str, format: Format) -> String {
    let last = recording.split(['?', '#']).next().unwrap_or_default();
    let name = safe_name(last);
    let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let encoded: String = stem
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    format!("inline; filename*=UTF-8''{encoded}.{}", format.name())
}

/// Reads the transcript of a completed job.
pub fn stored_transcript(server: &Server, id: &JobId, name: &str) -> ApiResult<(Transcript, Vec<u8>)> {
    let unreadable = |error| ApiError::internal(format!("the transcript cannot be read: {error}"));
    let bytes = std::fs::read(server.jobs.state().transcript(id)).map_err(unreadable)?;
    let transcript =
        from_openai_json(name, &bytes).ok_or_else(|| ApiError::internal("the transcript is damaged"))?;
    Ok((transcript, bytes))
}

/// Writes a stored transcript in a format.
fn render(
    server: &Server,
    id: &JobId,
    format: Format,
    query: Map<String, Value>,
) -> ApiResult<(String, Vec<u8>)> {
    let (name, mut options, recording) = server
        .jobs
        .with(id, |job| (job.record.source.name(), job.record.options.clone(), job.recording.clone()))
        .ok_or_else(|| ApiError::unknown_job(id.as_str()))?;
    let (mut transcript, bytes) = stored_transcript(server, id, &name)?;
    if format.needs_speakers() && transcript.speakers.is_none() {
        let message = format!("`{}` says who speaks; submit the job with `speakers`", format.name());
        return Err(ApiError::new(StatusCode::CONFLICT, "no_speakers", message));
    }
    let is_stored = format == Format::Json && query.is_empty();
    options.extend(query);
    let export = server.settings(&options)?.export;
    if is_stored && export.json_style == JsonStyle::Full {
        return Ok((name, bytes));
    }
    if format.plays_media()
        && let Some((waveform, seams)) = waveform_file::read(&server.jobs.state().waveform(id))
    {
        (transcript.waveform, transcript.seams) = (Some(waveform), seams);
    }
    let media = media(export.html_audio, recording.filter(|_| format.plays_media()));
    Ok((name, format.write_with_media(&Rendering::new(&transcript, &export), media)))
}

fn media(asked: HtmlAudio, recording: Option<PathBuf>) -> Media {
    let Some(path) = recording.filter(|path| path.is_file()) else { return Media::None };
    let is_small = path.metadata().is_ok_and(|metadata| metadata.len() <= MAX_EMBEDDED);
    match asked {
        HtmlAudio::None => Media::None,
        HtmlAudio::Embed if is_small => std::fs::read(&path).map_or(Media::None, Media::Embedded),
        HtmlAudio::Embed | HtmlAudio::Link => Media::Linked("recording/audio".into()),
    }
}

/// Returns the recording of a job, or a part of it, so that pages can play it from anywhere.
#[utoipa::path(get, path = "/v1/jobs/{id}/recording/audio", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>), (status = 206, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, body = ErrorAnswer), (status = 416, body = ErrorAnswer)))]
pub async fn recording(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let id = readable(&server, &caller, &id)?;
    let gone = || ApiError::new(StatusCode::NOT_FOUND, "no_recording", "the job has no recording any more");
    let path = server.jobs.with(&id, |job| job.recording.clone()).flatten().ok_or_else(gone)?;
    let mut file = File::open(&path).await.map_err(|_| gone())?;
    let size = file.metadata().await.map_err(|_| gone())?.len();
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let range = match asked.map(|range| parse_range(range, size)) {
        None | Some(None) => None,
        Some(Some(range)) if range.start < range.end => Some(range),
        Some(Some(_)) => {
            let message = "the recording is shorter";
            return Err(ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", message));
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    let Some(range) = range else {
        let length = [(header::CONTENT_LENGTH, size.to_string())];
        return Ok((headers, length, Body::from_stream(ReaderStream::new(file))).into_response());
    };
    file.seek(SeekFrom::Start(range.start)).await.map_err(|error| ApiError::internal(error.to_string()))?;
    let length = range.end - range.start;
    let part = [
        (header::CONTENT_RANGE, format!("bytes {}-{}/{size}", range.start, range.end - 1)),
        (header::CONTENT_LENGTH, length.to_string()),
    ];
    let body = Body::from_stream(ReaderStream::new(file.take(length)));
    Ok((StatusCode::PARTIAL_CONTENT, headers, part, body).into_response())
}

/// Parses a range of one part; none if it is not understood, which means the whole.
fn parse_range(text: &str, size: u64) -> Option<std::ops::Range<u64>> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (start.parse::<u64>(), end.parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => Some(start..end.saturating_add(1).min(size)),
        (Ok(start), Err(_)) if end.is_empty() => Some(start..size),
        (Err(_), Ok(last)) if start.is_empty() => Some(size.saturating_sub(last)..size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_within_the_recording() {
        let cases = [
            ("bytes=0-", Some(0..100)),
            ("bytes=10-19", Some(10..20)),
            ("bytes=90-500", Some(90..100)),
            ("bytes=-10", Some(90..100)),
            ("bytes=-500", Some(0..100)),
            ("bytes=0-18446744073709551615", Some(0..100)),
            ("bytes=20-10", None),
            ("bytes=a-b", None),
            ("items=0-1", None),
            ("bytes=0-1,5-6", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_range(text, 100), expected, "{text}");
        }
        // Behind the end, which is an error.
        let behind = parse_range("bytes=200-", 100).unwrap();
        assert!(behind.start >= behind.end);
    }
}
