//! The thread that transcribes: runs the session as long as there are jobs, and closes idle models while there are none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use serde::Serialize;
use utoipa::ToSchema;

use super::Server;
use super::jobs::Jobs;
use super::record::JobId;
use crate::cancel::{CancelReason, CancelToken};
use crate::engine::EngineStats;
use crate::error::{Error, Result};
use crate::run::{Feed, FeedItem, RunContext, RunEvent, RunRequest, Session};

/// How often idle models, and whether to end, are looked at.
const INTERVAL: Duration = Duration::from_millis(250);
const CLOSE_IDLE_INTERVAL: Duration = Duration::from_secs(2);

/// The state of the models, for health checks.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ModelHealth {
    /// `unloaded`, `loading`, `ready`, or `failed` if the last attempt to load one failed.
    pub state: &'static str,
    /// The models that are loaded, with their devices.
    pub loaded: Vec<String>,
    pub loads: u64,
    /// Why the last model could not be loaded, or was loaded with less than was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What the server knows of its own run.
#[derive(Debug, Default)]
pub struct RunStatus {
    model: Mutex<ModelHealth>,
    stats: Mutex<Option<EngineStats>>,
    /// All models were found; jobs can start.
    is_ready: AtomicBool,
    /// No new job is accepted any more.
    is_draining: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RunStatus {
    pub fn model(&self) -> ModelHealth {
        let model = lock(&self.model).clone();
        let state = if model.state.is_empty() { "unloaded" } else { model.state };
        ModelHealth { state, ..model }
    }

    pub fn stats(&self) -> Option<EngineStats> {
        *lock(&self.stats)
    }

    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire) && !self.is_draining()
    }

    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    fn on_event(&self, event: &RunEvent) {
        match event {
            RunEvent::ModelLoading { .. } => lock(&self.model).state = "loading",
            RunEvent::ModelLoaded { identity, device, .. } => {
                let mut model = lock(&self.model);
                model.state = "ready";
                model.loads += 1;
                model.loaded.push(format!("{} on {device}", identity.name));
            }
            RunEvent::ModelUnloaded { identity, device } => {
                let mut model = lock(&self.model);
                let name = format!("{} on {device}", identity.name);
                if let Some(at) = model.loaded.iter().position(|loaded| *loaded == name) {
                    model.loaded.remove(at);
                }
                if model.loaded.is_empty() {
                    model.state = "unloaded";
                }
            }
            RunEvent::SlotsReduced { slots } => {
                lock(&self.model).problem = Some(format!("memory is short: {slots} windows at a time"));
            }
            RunEvent::Failed { error, .. } => {
                if let Error::Model { .. } | Error::OutOfMemory { .. } | Error::Device { .. } =
                    error.unshared()
                {
                    let mut model = lock(&self.model);
                    model.problem = Some(error.chain());
                    if model.state == "loading" {
                        model.state = "failed";
                    }
                }
            }
            RunEvent::Progress { stats, .. } | RunEvent::EngineStats(stats) => {
                *lock(&self.stats) = Some(*stats);
            }
            _ => {}
        }
    }
}

/// See the module. Returns when the process is asked to end, `drain` after that at the latest.
pub fn transcribe_jobs(
    session: &mut Session,
    request: &RunRequest,
    server: &Server,
    context: RunContext<'_>,
) -> Result<()> {
    let (jobs, status, drain) = (&server.jobs, &server.status, server.options.drain_timeout);
    // What is running may go on for a while when the process is asked to end, so it has a token of its own.
    let cancel = CancelToken::new();
    let sink = |event: RunEvent| {
        status.on_event(&event);
        if let RunEvent::Waiting { input, .. } = &event
            && server.pressure.memory_shortage().is_some()
        {
            input.id().and_then(JobId::parse).iter().for_each(|id| jobs.hand_back(id));
        }
        jobs.on_event(&event);
        context.emit(event);
    };
    let run = RunContext::new(&cancel, &sink);
    let wake = jobs.wake_receiver();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (is_ended, token) = (&ended, &cancel);
        let end_later = move || end_run(context.cancel, token, jobs, status, drain, is_ended);
        let watch = std::thread::Builder::new().name("drain".into()).spawn_scoped(scope, end_later);
        let outcome = match watch {
            Ok(_) => run_until_cancelled(session, request, server, &wake, run),
            Err(error) => Err(Error::compute("starting a thread", error)),
        };
        ended.store(true, Ordering::Release);
        outcome
    })?;
    context.check()
}

/// Waits until the process is asked to end, and cancels the run when its jobs have ended or the time is over.
fn end_run(
    process: &CancelToken,
    run: &CancelToken,
    jobs: &Jobs,
    status: &RunStatus,
    drain: Duration,
    is_ended: &AtomicBool,
) {
    let mut since: Option<Instant> = None;
    while !is_ended.load(Ordering::Acquire) {
        if let Some(reason) = process.reason() {
            status.drain();
            let since = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= drain || jobs.counts().running == 0 {
                run.cancel(reason);
                jobs.wake();
                return;
            }
        }
        std::thread::sleep(INTERVAL.min(drain.max(Duration::from_millis(20))));
    }
    run.cancel(CancelReason::Terminate);
}

/// Returns what the run should do next, and says which inputs get the smaller model.
fn next_items(server: &Server, context: RunContext<'_>) -> Vec<FeedItem> {
    let shortage = server.jobs.fallback().and_then(|_| server.pressure.memory_shortage());
    let items = server.jobs.next_items(shortage.as_deref());
    for item in &items {
        let FeedItem::Input(input) = item else { continue };
        if let (Some(_), Some(settings)) = (input.free_memory, &input.settings) {
            let text = format!("memory is short: it gets the model `{}`", settings.model.name);
            context.emit(RunEvent::Note { input: input.name(), text });
        }
    }
    items
}

fn run_until_cancelled(
    session: &mut Session,
    request: &RunRequest,
    server: &Server,
    wake: &crossbeam_channel::Receiver<()>,
    context: RunContext<'_>,
) -> Result<()> {
    let (jobs, status) = (&server.jobs, &server.status);
    let mut idle_checked = Instant::now();
    while !context.is_cancelled() {
        if jobs.has_work() && !status.is_draining() {
            // While the server ends, nothing new is started.
            let mut next = |_| if status.is_draining() { Vec::new() } else { next_items(server, context) };
            let feed = Feed { next: &mut next, wake: wake.clone() };
            match session.transcribe_feed(request, feed, context) {
                Ok(()) | Err(Error::Cancelled(_)) => {}
                // The machine may recover.
                Err(error) => jobs.fail_running(&error),
            }
            continue;
        }
        match wake.recv_timeout(INTERVAL) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if idle_checked.elapsed() >= CLOSE_IDLE_INTERVAL {
            session.close_idle(context);
            idle_checked = Instant::now();
        }
    }
    Ok(())
}
