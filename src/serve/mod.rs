//! The server: HTTP → runs. Recordings come in as jobs, which are stored and survive any end of the server, or with
//! requests that are answered at once; both wait in one queue and are transcribed side by side in one batch.
//!
//! One thread runs the session (`runner`); everything about HTTP runs on a runtime of its own (`http`). They share the
//! `Jobs`. The rest of the program has nothing asynchronous.

mod accept;
mod background;
mod counters;
mod http;
mod idempotency;
mod job;
mod jobs;
mod keys;
mod options;
mod outgoing;
mod pressure;
mod record;
mod runner;
mod settings_cache;
mod state_dir;
mod telemetry;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, watch};

pub use self::keys::ApiKeys;
pub use self::options::{AccessRecord, JobSettings, ParseSettings, ServeOptions, TlsFiles};
pub use self::outgoing::{is_loopback, is_web_address};

use self::jobs::{FallbackModel, Jobs};
use self::outgoing::Outgoing;
use self::pressure::Pressure;
use self::runner::RunStatus;
use self::settings_cache::SettingsCache;
use self::state_dir::StateDir;
use self::telemetry::Collector;
use crate::device::memory::limit_arenas;
use crate::error::{Error, Result};
use crate::run::{RunContext, RunEvent, RunRequest, Session, TextEvents};

/// Threads that answer requests; none of them computes for long.
const HTTP_THREADS: usize = 2;
/// Arenas of the allocator: with the default, memory grew for as long as threads came and went.
const MAX_ARENAS: u8 = 2;
/// How long answers may take to be sent after the last job.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that the parts of a running server share.
struct Server {
    options: ServeOptions,
    jobs: Jobs,
    status: RunStatus,
    pressure: Pressure,
    outgoing: Outgoing,
    collector: Option<Collector>,
    settings_cache: SettingsCache,
    /// What collectors tell servers apart by.
    instance: String,
    /// Uploads and downloads at the same time.
    transfers: Semaphore,
    started: Instant,
    /// Sequences that one window always finds room for.
    max_beams: usize,
    /// Becomes true when open answers should end.
    closing: watch::Sender<bool>,
}

/// Serves until the process is asked to end. `on_listening` is called with the address once there is one.
pub fn serve(
    mut request: RunRequest,
    options: ServeOptions,
    context: RunContext<'_>,
    on_listening: &dyn Fn(&str),
) -> Result<()> {
    limit_arenas(MAX_ARENAS);
    request.text = TextEvents::AllAtOnce;
    let tls = options.tls.as_ref().map(http::tls_config).transpose()?;
    let state = StateDir::open(&options.state_dir)?;
    let listener = listen(&options)?;
    let address = listener.local_addr().map_err(|error| unusable_address(&options, &error))?;
    let mut session = Session::new(&request)?;
    let fallback = options.fallback.clone().map(|model| {
        let free_memory = pressure::fallback_memory(&options.guard);
        FallbackModel { model, free_memory }
    });
    let (ended, ended_jobs) = mpsc::unbounded_channel();
    let server = Arc::new(Server {
        jobs: Jobs::new(state, options.max_queue, fallback, ended),
        status: RunStatus::default(),
        pressure: Pressure::new(options.guard.clone(), session.device().clone()),
        outgoing: Outgoing::new(options.allows_private_addresses),
        collector: options.collector.as_ref().map(|(url, interval)| Collector::new(url, *interval)),
        settings_cache: SettingsCache::default(),
        instance: address.to_string(),
        transfers: Semaphore::new(options.max_transfers),
        started: Instant::now(),
        max_beams: most_beams(&request),
        closing: watch::Sender::new(false),
        options,
    });
    let note = |text: String| context.emit(RunEvent::Note { input: "server".into(), text });
    let fetching = accept::restore(&server, &note)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HTTP_THREADS)
        .thread_name("http")
        .enable_all()
        .build()
        .map_err(|error| Error::compute("starting the server's threads", error))?;
    let handle = axum_server::Handle::new();
    let answering = runtime.spawn(http::answer(Arc::clone(&server), listener, tls.clone(), handle.clone()));
    runtime.spawn(background::call_webhooks(Arc::clone(&server), ended_jobs));
    runtime.spawn(background::remove_old_jobs(Arc::clone(&server)));
    runtime.spawn(telemetry::push_regularly(Arc::clone(&server)));
    for id in fetching {
        runtime.spawn(background::fetch(Arc::clone(&server), id));
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    on_listening(&format!("{scheme}://{address}"));
    let outcome = find_models(&mut session, &server, context).and_then(|()| {
        server.status.set_ready();
        runner::transcribe_jobs(&mut session, &request, &server, context)
    });
    server.status.drain();
    server.jobs.end_requests();
    server.closing.send_replace(true);
    handle.graceful_shutdown(Some(CLOSE_TIMEOUT));
    let _ = runtime.block_on(async { tokio::time::timeout(CLOSE_TIMEOUT, answering).await });
    // What happened since the last time is not lost.
    runtime.block_on(telemetry::push(&server));
    runtime.shutdown_timeout(CLOSE_TIMEOUT);
    session.close(context);
    outcome
}

/// Returns how many sequences a window always finds room for: models are loaded with slots for what the server's own options
/// ask for.
fn most_beams(request: &RunRequest) -> usize {
    let decode = &request.plan.settings.decode;
    decode.candidates().max(decode.beams_at_once())
}

/// Finds all models that jobs may ask for, so that no job waits for a download.
fn find_models(session: &mut Session, server: &Server, context: RunContext<'_>) -> Result<()> {
    server.options.models.iter().try_for_each(|model| session.find_model(model, context))
}

fn listen(options: &ServeOptions) -> Result<TcpListener> {
    let listener = TcpListener::bind(options.listen).map_err(|error| unusable_address(options, &error))?;
    listener.set_nonblocking(true).map_err(|error| unusable_address(options, &error))?;
    Ok(listener)
}

fn unusable_address(options: &ServeOptions, error: &std::io::Error) -> Error {
    Error::Usage {
        what: format!("`--listen {}`", options.listen),
        why: format!("cannot be used: {error}"),
        hint: Some("stop what listens there, or choose another port".into()),
    }
}
