//! The status file of a watch for monitors: JSON that is replaced atomically.
//!
//! | field | meaning |
//! |---|---|
//! | `schema_version` | changes when a field changes its meaning or is removed; fields may be added at any time |
//! | `program`, `version`, `pid` | the process that writes the file |
//! | `health`, `reasons` | `ok`; `degraded`, with reasons, during problems that may pass; `failed` if the watch ended with an error |
//! | `doing` | `starting`, `waiting`, `working`, `stopping`, `stopped` |
//! | `started`, `uptime_seconds` | when this process started, and how long ago |
//! | `heartbeat`, `heartbeat_seconds` | when the file was written, and how often that happens: a heartbeat that is several times older means that the watch is gone or stuck |
//! | `inbox` | `path`, `reachable`, `problem`, `last_looked` |
//! | `queue` | inputs now in the inbox: `settling`, `waiting`, `in_flight` (each with `input`, `since`, `audio_seconds_done`, `audio_seconds_known`), `troubled` (tried again later), `elsewhere` (processed by another process), `failed_now`; since the start: `done`, `skipped`, `failed`, `audio_seconds`, `last_done`, `last_done_time`, `last_errors` (the last ten: `time`, `input`, `kind`, `message`, `will_retry`) |
//! | `model` | `state` (`unloaded`, `loading`, `ready`), `name`, `revision`, `device`, `leases`, `loads`, `load_seconds`, `idle_since`, `idle_timeout_seconds` |
//! | `memory` | bytes of `host`, and of `device` where that has its own: `now` and `peak` of this process, `free`, `total` |
//! | `exit_code` | null until the end |
//!
//! Times are RFC 3339 in UTC.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::{Value, json};

use crate::cli::exit::ExitCode;
use crate::cli::printer::Printer;
use crate::device::SelectedDevice;
use crate::device::memory::{MemoryStats, MemoryUsage};
use crate::error::{Error, Result};
use crate::store::{remove_temporary_files, write_file_unsynced};
use crate::watch::{ModelStage, WatchSnapshot, WatchState};

const VERSION: u64 = 1;
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Changes within this time are written together.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A watch that has not scanned the inbox for this time, or this many polls if that is longer, is stuck.
const STUCK_AFTER: (Duration, u32) = (Duration::from_secs(60), 10);

/// The status file and what it is written from.
pub struct StatusFile {
    path: PathBuf,
    device: SelectedDevice,
    interval: Duration,
    start: Instant,
    started: String,
    latest: Mutex<LatestSnapshot>,
    changes: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct LatestSnapshot {
    snapshot: WatchSnapshot,
    received: Option<Instant>,
}

impl StatusFile {
    /// Writes the first status. An existing file that is not a status file is not replaced.
    pub fn create(path: &Path, device: &SelectedDevice, interval: Duration) -> Result<Self> {
        let is_status_file = |text: String| {
            let value: Option<Value> = serde_json::from_str(&text).ok();
            value.is_some_and(|value| value["program"] == PROGRAM && value["heartbeat"].is_string())
        };
        if path.is_file() && !std::fs::read_to_string(path).is_ok_and(is_status_file) {
            return Err(Error::Usage {
                what: format!("`--status-file {}`", path.display()),
                why: "exists and is not a status file".into(),
                hint: Some("choose another name".into()),
            });
        }
        remove_temporary_files(path);
        let status = Self {
            path: path.to_owned(),
            device: device.clone(),
            interval,
            start: Instant::now(),
            started: now(),
            latest: Mutex::default(),
            changes: bounded(1),
        };
        status.write(None)?;
        Ok(status)
    }

    fn show(&self, snapshot: &WatchSnapshot) {
        *self.lock() = LatestSnapshot { snapshot: snapshot.clone(), received: Some(Instant::now()) };
        // If a change is pending already, this one is written with it.
        let _ = self.changes.0.try_send(());
    }

    /// Writes the last status.
    pub fn finish(&self, code: ExitCode) -> Result<()> {
        self.write(Some(code))
    }

    fn lock(&self) -> MutexGuard<'_, LatestSnapshot> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, ended: Option<ExitCode>) -> Result<()> {
        let text = format!("{:#}\n", self.object(ended));
        write_file_unsynced(&self.path, text.as_bytes())
    }

    fn object(&self, ended: Option<ExitCode>) -> Value {
        let (snapshot, received) = {
            let latest = self.lock();
            (latest.snapshot.clone(), latest.received)
        };
        let mut reasons = snapshot.reasons.clone();
        reasons.extend(self.stuck(&snapshot, received).filter(|_| ended.is_none()));
        let is_failure = |code: ExitCode| {
            !matches!(
                code,
                ExitCode::Done | ExitCode::SomeFailed | ExitCode::Interrupted | ExitCode::Terminated
            )
        };
        let health = match ended {
            Some(code) if is_failure(code) => "failed",
            _ if !reasons.is_empty() => "degraded",
            _ => "ok",
        };
        let memory = MemoryStats::measure(&self.device.device).ok();
        json!({
            "schema_version": VERSION,
            "program": PROGRAM,
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "health": health,
            "reasons": reasons,
            "doing": if ended.is_some() { WatchState::Stopped } else { snapshot.doing },
            "started": self.started,
            "uptime_seconds": (self.start.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            "heartbeat": now(),
            "heartbeat_seconds": self.interval.as_secs_f64(),
            "inbox": snapshot.inbox,
            "queue": snapshot.queue,
            "model": snapshot.model,
            "memory": {
                "host": memory.map(|memory| usage(&memory.host)),
                "device": memory.and_then(|memory| memory.device).map(|device| usage(&device)),
            },
            "exit_code": ended.map(|code| code as u8),
        })
    }

    /// Returns why the watch seems stuck. Finding and loading a model may take long.
    fn stuck(&self, snapshot: &WatchSnapshot, received: Option<Instant>) -> Option<String> {
        let is_busy =
            matches!(snapshot.doing, WatchState::Starting | WatchState::Stopping | WatchState::Stopped)
                || snapshot.model.state == ModelStage::Loading;
        let silence = received.filter(|_| !is_busy)?.elapsed();
        let limit = STUCK_AFTER.0.max(self.interval * STUCK_AFTER.1);
        (silence > limit).then(|| format!("the inbox has not been scanned for {} s", silence.as_secs()))
    }
}

/// Runs `work` while a thread keeps the file up to date, if there is one.
pub fn keep_updated<T>(
    status: Option<&StatusFile>,
    printer: Printer,
    work: impl FnOnce(&dyn Fn(&WatchSnapshot)) -> T,
) -> T {
    let Some(status) = status else { return work(&|_| ()) };
    thread::scope(|scope| {
        let (stop, stopped) = bounded::<()>(0);
        // Dropped at the end, also in a panic, which stops the thread.
        let _stop = stop;
        let update = move || {
            let mut has_warned = false;
            while !matches!(stopped.recv_timeout(DEBOUNCE), Err(RecvTimeoutError::Disconnected)) {
                crossbeam_channel::select! {
                    recv(status.changes.1) -> _ => {}
                    recv(stopped) -> _ => return,
                    default(status.interval) => {}
                }
                match status.write(None) {
                    Err(error) if !std::mem::replace(&mut has_warned, true) => {
                        printer.warning(&format!("{}; the watch continues without it", error.chain()));
                    }
                    _ => {}
                }
            }
        };
        match thread::Builder::new().name("status".into()).spawn_scoped(scope, update) {
            Ok(_) => work(&|snapshot| status.show(snapshot)),
            Err(_) => work(&|snapshot| {
                status.show(snapshot);
                // Without the thread, each change is written here.
                let _ = status.write(None);
            }),
        }
    })
}

fn usage(usage: &MemoryUsage) -> Value {
    json!({"now": usage.current, "peak": usage.peak, "free": usage.free, "total": usage.total})
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
