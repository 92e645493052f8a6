//! What the server does besides answering and transcribing: downloads, webhooks, and the removal of old jobs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinSet, spawn_blocking};

use super::Server;
use super::record::{JobFailure, JobId, JobSource, JobState, Webhook};

/// Calls of a webhook before it is given up.
const MAX_CALLS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

const SWEEP_INTERVAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// Downloads the recording of a job, and queues it.
pub async fn fetch(server: Arc<Server>, id: JobId) {
    let url = server.jobs.with(&id, |job| match &job.record.source {
        JobSource::Url(url) => Some(url.clone()),
        JobSource::Upload(_) | JobSource::Path(_) => None,
    });
    let Some(url) = url.flatten() else { return };
    // The semaphore is never closed.
    let Ok(_permit) = server.transfers.acquire().await else { return };
    let (worker, name) = (Arc::clone(&server), id.clone());
    let downloaded = spawn_blocking(move || download(&worker, &name, &url)).await;
    match downloaded {
        Ok(Ok(())) => server.jobs.fetched(&id),
        // It begins again when the server starts again.
        _ if server.status.is_draining() => {}
        Ok(Err(message)) => {
            let hint = Some("check the address, or upload the recording".into());
            server.jobs.fail(&id, JobFailure { hint, ..JobFailure::missing(message) });
        }
        Err(error) => server.jobs.fail(&id, JobFailure::missing(error.to_string())),
    }
}

fn download(server: &Server, id: &JobId, url: &str) -> Result<(), String> {
    let state = server.jobs.state();
    let stored = |error: std::io::Error| format!("`{url}` cannot be stored: {error}");
    let incoming = state.incoming(&JobId::new()).map_err(stored)?;
    let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let Some(target) = incoming.recording(path) else { return Ok(()) };
    let is_wanted = || {
        let is_fetching = |state| state == JobState::Fetching;
        server.jobs.with(id, |job| is_fetching(job.record.state)).unwrap_or(false)
            && !server.status.is_draining()
    };
    let bytes = server.outgoing.download(url, &target, server.options.max_upload, &is_wanted)?;
    server.jobs.counters.uploaded(bytes);
    // The recording is complete or not there.
    let folder = state.input_folder(id);
    let _ = std::fs::remove_dir_all(&folder);
    let source = target.parent().unwrap_or(&target);
    std::fs::rename(source, &folder).map_err(stored)
}

/// Calls the webhooks of jobs that have ended, also of those that ended before the server started.
pub async fn call_webhooks(server: Arc<Server>, mut ended: UnboundedReceiver<JobId>) {
    let mut open = Vec::new();
    server.jobs.list(|job| {
        let is_open = job.record.webhook.as_ref().is_some_and(|webhook| !webhook.is_settled);
        if is_open && job.record.state.is_ended() {
            open.push(job.id().clone());
        }
        true
    });
    // A job may be both listed and announced.
    let (mut calls, mut called) = (JoinSet::new(), HashSet::new());
    let call = |calls: &mut JoinSet<JobId>, called: &mut HashSet<JobId>, id: JobId| {
        if called.insert(id.clone()) {
            let server = Arc::clone(&server);
            calls.spawn(async move {
                call_webhook(server, id.clone()).await;
                id
            });
        }
    };
    open.into_iter().for_each(|id| call(&mut calls, &mut called, id));
    loop {
        tokio::select! {
            id = ended.recv() => match id {
                Some(id) => call(&mut calls, &mut called, id),
                None => return,
            },
            Some(ended) = calls.join_next() => {
                // A panic was reported by the panic hook.
                if let Ok(id) = ended {
                    called.remove(&id);
                }
            }
        }
    }
}

async fn call_webhook(server: Arc<Server>, id: JobId) {
    let webhook = server.jobs.with(&id, |job| {
        let record = &job.record;
        let body = json!({
            "id": record.id,
            "object": "job",
            "state": record.state,
            "created": record.created,
            "finished": record.finished,
            "source": record.source,
            "result": record.result,
            "fallback": record.fallback,
            "error": record.failure,
        });
        record.webhook.clone().map(|webhook| (webhook, body.to_string()))
    });
    let Some((Webhook { url, mut attempts, is_settled: false, .. }, body)) = webhook.flatten() else {
        return;
    };
    let mut pause = FIRST_PAUSE;
    while attempts < MAX_CALLS {
        attempts += 1;
        let (caller, target, content, name) = (Arc::clone(&server), url.clone(), body.clone(), id.clone());
        let called = spawn_blocking(move || {
            let secret = caller.options.webhook_secret.as_deref();
            caller.outgoing.call(&target, &format!("{name}-{attempts}"), &content, secret)
        });
        let outcome = called.await.unwrap_or_else(|error| Err(error.to_string()));
        let is_received = outcome.is_ok();
        server.jobs.counters.webhook(if is_received { "received" } else { "failed" });
        let is_settled = is_received || attempts >= MAX_CALLS;
        let noted = outcome.err().unwrap_or_else(|| "received".into());
        let (worker, name) = (Arc::clone(&server), id.clone());
        let _ = spawn_blocking(move || worker.jobs.set_webhook(&name, attempts, is_settled, noted)).await;
        if is_settled || server.jobs.with(&id, |_| ()).is_none() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 4).min(LONGEST_PAUSE);
    }
}

/// Removes jobs that are too old or take too much space, again and again.
pub async fn remove_old_jobs(server: Arc<Server>) {
    let interval = (server.options.keep / 4).clamp(SWEEP_INTERVAL.0, SWEEP_INTERVAL.1);
    loop {
        tokio::time::sleep(interval).await;
        let worker = Arc::clone(&server);
        let (keep, most) = (server.options.keep, server.options.keep_bytes);
        // A panic was reported by the panic hook.
        let _ = spawn_blocking(move || worker.jobs.sweep(keep, most)).await;
    }
}
