//! Server-sent events: of jobs, and of requests that stream their answer as OpenAI's do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;

use super::job_view::JobView;
use super::results;
use super::waiting::{self, Updates, news};
use crate::serve::Server;
use crate::serve::accept::PendingRequest;
use crate::serve::record::{JobId, JobState, ModelFallback};
use crate::transcript::Segment;

/// Events that wait for a slow client; the rest stays with the job.
const WAITING: usize = 4;

/// Sends events to one client.
struct Events(Sender<Result<Event, Infallible>>);

impl Events {
    /// Sends an event; fails if the client is gone.
    async fn send(&self, name: Option<&str>, data: &impl Serialize) -> Result<(), ()> {
        let data = serde_json::to_string(data).map_err(drop)?;
        let event = name.into_iter().fold(Event::default(), Event::event);
        self.0.send(Ok(event.data(data))).await.map_err(drop)
    }
}

fn stream(start: impl FnOnce(Events)) -> Response {
    let (sender, receiver) = channel(WAITING);
    start(Events(sender));
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()).into_response()
}

/// A segment in events.
#[derive(Serialize)]
struct SegmentEvent<'s> {
    start: f64,
    end: f64,
    text: &'s str,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<&'s str>,
}

impl<'s> From<&'s Segment> for SegmentEvent<'s> {
    fn from(segment: &'s Segment) -> Self {
        let Segment { start, end, text, speaker, .. } = segment;
        Self { start: *start, end: *end, text, speaker: speaker.as_deref() }
    }
}

/// Streams what happens to a job.
pub fn job_events(server: Arc<Server>, id: JobId, updates: Updates) -> Response {
    stream(move |events| {
        tokio::spawn(async move {
            // An error means that the client is gone.
            let _ = send_job_events(&server, &id, updates, &events).await;
        });
    })
}

async fn send_job_events(
    server: &Arc<Server>,
    id: &JobId,
    mut updates: Updates,
    events: &Events,
) -> Result<(), ()> {
    let (mut seen, mut state, mut progress, mut has_fallback) = (0, None, (-1.0, -1.0), false);
    while let Some(now) = news(server, id, seen) {
        if let Some(fallback) = now.fallback.as_ref().filter(|_| !has_fallback) {
            // It begins again if it had begun with the other model.
            (has_fallback, seen) = (true, 0);
            events.send(Some("fallback"), fallback).await?;
            continue;
        }
        if !now.segments.is_empty() {
            seen += now.segments.len();
            let segments: Vec<SegmentEvent<'_>> = now.segments.iter().map(SegmentEvent::from).collect();
            events.send(Some("segments"), &json!({ "segments": segments })).await?;
        }
        if now.progress != progress && !now.state.is_ended() {
            progress = now.progress;
            let (done, known) = progress;
            let data = json!({ "seconds_done": done, "seconds_known": known, "language": now.language });
            events.send(Some("progress"), &data).await?;
        }
        if now.state == JobState::Completed {
            // What came with the end was not seen before.
            send_stored_segments(server, id, seen, events).await?;
        }
        if state.replace(now.state) != Some(now.state) {
            let view = server.jobs.with(id, JobView::new);
            let view = view.map(|view| view.at(server.jobs.position(id)));
            events.send(Some("state"), &view).await?;
        }
        if now.state.is_ended() || !updates.next().await {
            break;
        }
    }
    Ok(())
}

async fn send_stored_segments(
    server: &Arc<Server>,
    id: &JobId,
    seen: usize,
    events: &Events,
) -> Result<(), ()> {
    let (worker, id) = (Arc::clone(server), id.clone());
    let read = spawn_blocking(move || results::stored_transcript(&worker, &id, "")).await;
    let Ok(Ok((transcript, _))) = read else { return Ok(()) };
    let rest: Vec<SegmentEvent<'_>> = transcript.segments.iter().skip(seen).map(SegmentEvent::from).collect();
    match rest.is_empty() {
        true => Ok(()),
        false => events.send(Some("segments"), &json!({ "segments": rest })).await,
    }
}

/// Streams the text of a request as OpenAI's server does. The request lives as long as the stream.
pub fn transcription_events(server: Arc<Server>, request: PendingRequest, has_speakers: bool) -> Response {
    stream(move |events| {
        tokio::spawn(async move {
            let sending = send_transcription(&server, &request.id, &events, has_speakers);
            // An error means that the client is gone; dropping the request then ends the work.
            tokio::select! {
                _ = sending => {}
                () = events.0.closed() => {}
            }
        });
    })
}

async fn send_transcription(
    server: &Server,
    id: &JobId,
    events: &Events,
    has_speakers: bool,
) -> Result<(), ()> {
    let mut updates = waiting::updates(server, id).ok_or(())?;
    let (mut seen, mut sent, mut has_fallback) = (0, String::new(), false);
    while let Some(now) = news(server, id, seen) {
        if let Some(fallback) = now.fallback.as_ref().filter(|_| !has_fallback) {
            has_fallback = true;
            let ModelFallback { model, instead_of, reason, .. } = fallback;
            let data = json!({ "type": "transcript.fallback_model", "model": model, "instead_of": instead_of,
                "reason": reason });
            events.send(None, &data).await?;
        }
        seen += now.segments.len();
        for segment in now.segments.iter().filter(|segment| !segment.text.is_empty()) {
            send_segment(events, segment, &mut sent, has_speakers).await?;
        }
        if now.state.is_ended() {
            break;
        }
        if !updates.next().await {
            break;
        }
    }
    match waiting::transcript(server, id).await {
        Ok(transcript) => {
            // What came with the end was not seen before.
            for segment in transcript.segments.iter().skip(seen).filter(|segment| !segment.text.is_empty()) {
                send_segment(events, segment, &mut sent, has_speakers).await?;
            }
            let text = transcript.text.trim();
            events.send(None, &json!({ "type": "transcript.text.done", "text": text })).await
        }
        Err(error) => events.send(None, &error.stream_event()).await,
    }
}

async fn send_segment(
    events: &Events,
    segment: &Segment,
    sent: &mut String,
    has_speakers: bool,
) -> Result<(), ()> {
    if has_speakers {
        let Segment { id, start, end, text, speaker, .. } = segment;
        let data = json!({ "type": "transcript.text.segment", "id": format!("seg_{id}"), "start": start, "end": end,
            "text": text, "speaker": speaker });
        events.send(None, &data).await?;
    }
    let delta = if sent.is_empty() { segment.text.trim_start() } else { &segment.text };
    sent.push_str(delta);
    events.send(None, &json!({ "type": "transcript.text.delta", "delta": delta })).await
}
