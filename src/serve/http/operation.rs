//! What those who operate the server ask: is it alive, is it ready, how is it, and its metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::access::require;
use super::api_error::{ApiError, ApiResult, ErrorAnswer};
use crate::report::PrometheusText;
use crate::serve::Server;
use crate::serve::keys::{Caller, Scope};
use crate::serve::pressure::Resources;
use crate::serve::runner::ModelHealth;

#[derive(Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
}

/// Answers as long as the server lives.
#[utoipa::path(get, path = "/health", tag = "operation", responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Answers with 200 if recordings are accepted now.
#[utoipa::path(get, path = "/ready", tag = "operation",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub async fn ready(State(server): State<Arc<Server>>) -> Response {
    let (status, text) = match (server.status.is_draining(), server.status.is_ready()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    (status, Json(Health { status: text })).into_response()
}

/// The state of the server and of its machine. Sizes are in bytes.
#[derive(Serialize, ToSchema)]
pub struct DetailedHealth {
    /// `ok`; `degraded` while something is short or has failed; `draining`, `starting`.
    status: &'static str,
    reasons: Vec<String>,
    version: &'static str,
    uptime_seconds: f64,
    device: String,
    model: ModelHealth,
    slots: Slots,
    queue: QueueHealth,
    memory: Option<MemoryHealth>,
    device_memory: Option<MemoryHealth>,
    swap: SwapHealth,
    disk_free: Option<u64>,
    /// The smaller model, if the server has one for times when memory is short.
    fallback: Option<FallbackHealth>,
    thresholds: Thresholds,
}

#[derive(Serialize, ToSchema)]
struct Slots {
    taken: usize,
    total: usize,
}

#[derive(Serialize, ToSchema)]
struct FallbackHealth {
    model: String,
    /// Whether jobs that start now get it.
    is_active: bool,
    /// Jobs and requests that got it since the start.
    used: u64,
}

#[derive(Serialize, ToSchema)]
struct QueueHealth {
    fetching: usize,
    queued: usize,
    running: usize,
    /// Jobs that have ended and are kept.
    ended: usize,
    limit: usize,
    /// Uploads and downloads that may still begin.
    transfers_free: usize,
}

#[derive(Serialize, ToSchema)]
struct MemoryHealth {
    /// Held by the server.
    held: u64,
    peak: u64,
    free: u64,
    total: u64,
}

#[derive(Serialize, ToSchema)]
struct SwapHealth {
    used: u64,
    free: u64,
}

#[derive(Serialize, ToSchema)]
struct Thresholds {
    min_free_memory: u64,
    min_free_device_memory: u64,
    min_free_disk: u64,
    max_upload: u64,
}

/// Describes the server, its model, its queue and its machine.
#[utoipa::path(get, path = "/health/detailed", tag = "operation",
    responses((status = 200, body = DetailedHealth), (status = "4XX", body = ErrorAnswer)))]
pub async fn detailed(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> ApiResult<Json<DetailedHealth>> {
    require(&caller, Scope::Read)?;
    let described = spawn_blocking(move || describe(&server)).await;
    described.map(Json).map_err(|error| ApiError::internal(error.to_string()))
}

fn describe(server: &Server) -> DetailedHealth {
    let resources = server.pressure.resources(&server.jobs);
    let (model, counts, stats) = (server.status.model(), server.jobs.counts(), server.status.stats());
    let mut reasons: Vec<String> = server.pressure.shortage(&server.jobs, 0).into_iter().collect();
    reasons.extend(server.jobs.counters.state_failure());
    reasons.extend(model.problem.clone());
    let status = match (server.status.is_draining(), server.status.is_ready(), reasons.is_empty()) {
        (true, ..) => "draining",
        (false, false, _) => "starting",
        (false, true, false) => "degraded",
        (false, true, true) => "ok",
    };
    let Resources { memory, swap, disk } = resources;
    let held = |usage: crate::device::memory::MemoryUsage| MemoryHealth {
        held: usage.current,
        peak: usage.peak,
        free: usage.free,
        total: usage.total,
    };
    let limits = server.pressure.limits();
    DetailedHealth {
        status,
        reasons,
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: server.started.elapsed().as_secs_f64(),
        device: server.pressure.device().label(),
        model,
        slots: Slots {
            taken: stats.filter(|_| counts.running > 0).map_or(0, |stats| stats.taken),
            total: stats.map_or(0, |stats| stats.slots),
        },
        queue: QueueHealth {
            fetching: counts.fetching,
            queued: counts.queued,
            running: counts.running,
            ended: counts.ended,
            limit: server.options.max_queue,
            transfers_free: server.transfers.available_permits(),
        },
        memory: memory.map(|memory| held(memory.host)),
        device_memory: memory.and_then(|memory| memory.device).map(held),
        swap: SwapHealth { used: swap.used, free: swap.free },
        disk_free: disk,
        fallback: server.jobs.fallback().map(|fallback| FallbackHealth {
            model: fallback.model.name.clone(),
            is_active: server.pressure.memory_shortage().is_some(),
            used: server.jobs.counters.fallbacks(),
        }),
        thresholds: Thresholds {
            min_free_memory: limits.memory,
            min_free_device_memory: limits.device_memory,
            min_free_disk: limits.disk,
            max_upload: server.options.max_upload,
        },
    }
}

/// The server's metrics in the format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String), (status = "4XX", body = ErrorAnswer)))]
pub async fn metrics(
    State(server): State<Arc<Server>>,
    Extension(caller): Extension<Caller>,
) -> ApiResult<Response> {
    require(&caller, Scope::Read)?;
    let text = spawn_blocking(move || {
        let mut text = PrometheusText::default();
        server.write_metrics(&mut text);
        text.into_string()
    });
    let text = text.await.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
