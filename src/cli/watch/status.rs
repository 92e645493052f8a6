//! The status file of a watch: what a monitor needs to know, as JSON that is always whole.
//!
//! | field | what it says |
//! |---|---|
//! | `schema_version` | changes when a field changes its meaning or goes; new ones may come at any time |
//! | `program`, `version`, `pid` | who writes this |
//! | `health`, `reasons` | `ok`; `degraded`, and why, while something is wrong that may pass; `failed` after an end by an error |
//! | `doing` | `starting`, `waiting`, `working`, `stopping`, `stopped` |
//! | `started`, `uptime_seconds` | of this process |
//! | `heartbeat`, `heartbeat_seconds` | when this was written, and how often it is: one that is several times older tells of a watch that is gone or stuck |
//! | `inbox` | `path`, `reachable`, `problem`, `last_looked` |
//! | `queue` | inputs now in the inbox: `settling`, `waiting`, `in_flight` (each with `input`, `since`, `audio_seconds_done`, `audio_seconds_known`), `troubled` (tried again later), `elsewhere` (another process does them), `failed_now`; since the start: `done`, `skipped`, `failed`, `audio_seconds`, `last_done`, `last_done_time`, `last_errors` (the last ten: `time`, `input`, `kind`, `message`, `will_retry`) |
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
use crate::watch::{Doing, ModelStage, Snapshot};

const VERSION: u64 = 1;
const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// Changes that come faster are told together.
const BREATH: Duration = Duration::from_millis(20);

/// A watch that has not looked around for so long, or for so many polls, is stuck.
const STUCK: (Duration, u32) = (Duration::from_secs(60), 10);

/// See the module.
pub struct StatusFile {
    path: PathBuf,
    device: SelectedDevice,
    every: Duration,
    began: Instant,
    started: String,
    latest: Mutex<Latest>,
    news: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct Latest {
    snapshot: Snapshot,
    told: Option<Instant>,
}

impl StatusFile {
    /// Writes the first one. What is there and is none is left alone.
    pub fn create(path: &Path, device: &SelectedDevice, every: Duration) -> Result<Self> {
        let is_ours = |text: String| {
            let value: Option<Value> = serde_json::from_str(&text).ok();
            value.is_some_and(|value| value["program"] == PROGRAM && value["heartbeat"].is_string())
        };
        if path.is_file() && !std::fs::read_to_string(path).is_ok_and(is_ours) {
            return Err(Error::Usage {
                what: format!("`--status-file {}`", path.display()),
                why: "is there and is no such file".into(),
                hint: Some("choose another name".into()),
            });
        }
        remove_temporary_files(path);
        let status = Self {
            path: path.to_owned(),
            device: device.clone(),
            every,
            began: Instant::now(),
            started: now(),
            latest: Mutex::default(),
            news: bounded(1),
        };
        status.write(None)?;
        Ok(status)
    }

    fn show(&self, snapshot: &Snapshot) {
        *self.lock() = Latest { snapshot: snapshot.clone(), told: Some(Instant::now()) };
        // If there is something to tell already, this goes with it.
        let _ = self.news.0.try_send(());
    }

    /// The last one.
    pub fn end(&self, code: ExitCode) -> Result<()> {
        self.write(Some(code))
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, ended: Option<ExitCode>) -> Result<()> {
        let text = format!("{:#}\n", self.object(ended));
        write_file_unsynced(&self.path, text.as_bytes())
    }

    fn object(&self, ended: Option<ExitCode>) -> Value {
        let (snapshot, told) = {
            let latest = self.lock();
            (latest.snapshot.clone(), latest.told)
        };
        let mut reasons = snapshot.reasons.clone();
        reasons.extend(self.stuck(&snapshot, told).filter(|_| ended.is_none()));
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
            "doing": if ended.is_some() { Doing::Stopped } else { snapshot.doing },
            "started": self.started,
            "uptime_seconds": (self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3,
            "heartbeat": now(),
            "heartbeat_seconds": self.every.as_secs_f64(),
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

    /// Loading a model, and looking for one, may take long.
    fn stuck(&self, snapshot: &Snapshot, told: Option<Instant>) -> Option<String> {
        let is_busy = matches!(snapshot.doing, Doing::Starting | Doing::Stopping | Doing::Stopped)
            || snapshot.model.state == ModelStage::Loading;
        let silent = told.filter(|_| !is_busy)?.elapsed();
        let limit = STUCK.0.max(self.every * STUCK.1);
        (silent > limit).then(|| format!("the inbox was not looked into for {} s", silent.as_secs()))
    }
}

/// Works while the file, if there is one, is kept up to date by a thread of its own.
pub fn kept<T>(
    status: Option<&StatusFile>,
    printer: Printer,
    work: impl FnOnce(&dyn Fn(&Snapshot)) -> T,
) -> T {
    let Some(status) = status else { return work(&|_| ()) };
    thread::scope(|scope| {
        let (stop, stopped) = bounded::<()>(0);
        // Let go of at the end, also in a panic: the thread ends by it.
        let _stop = stop;
        let keep = move || {
            let mut has_warned = false;
            while !matches!(stopped.recv_timeout(BREATH), Err(RecvTimeoutError::Disconnected)) {
                crossbeam_channel::select! {
                    recv(status.news.1) -> _ => {}
                    recv(stopped) -> _ => return,
                    default(status.every) => {}
                }
                match status.write(None) {
                    Err(error) if !std::mem::replace(&mut has_warned, true) => {
                        printer.warning(&format!("{}; the watch goes on without it", error.chain()));
                    }
                    _ => {}
                }
            }
        };
        match thread::Builder::new().name("status".into()).spawn_scoped(scope, keep) {
            Ok(_) => work(&|snapshot| status.show(snapshot)),
            Err(_) => work(&|snapshot| {
                status.show(snapshot);
                // There is nobody else to do it.
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
