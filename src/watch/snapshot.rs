//! What a watch is at, for a monitor: plain data, every field of it in a file that programs read.

use std::collections::VecDeque;

use serde::Serialize;

/// What the watch does now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// The model is looked for, and downloaded if need be.
    #[default]
    Starting,
    /// Nothing is in work.
    Waiting,
    Working,
    Stopping,
    /// The last that is told.
    Stopped,
}

/// The inbox, when it was last looked into.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InboxState {
    pub path: String,
    /// False while it is not there: it is waited for.
    pub reachable: bool,
    /// Why it, or a folder in it, cannot be read.
    pub problem: Option<String>,
    /// When it was last read, RFC 3339 in UTC.
    pub last_looked: Option<String>,
}

/// An input that is being transcribed.
#[derive(Debug, Clone, Serialize)]
pub struct InFlight {
    pub input: String,
    pub since: String,
    /// Seconds of audio that are done, and that are known to be there so far.
    pub audio_seconds_done: f64,
    pub audio_seconds_known: f64,
}

/// What went wrong with an input.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    pub time: String,
    pub input: String,
    /// A stable name, as in reports.
    pub kind: &'static str,
    pub message: String,
    /// It is tried again by itself.
    pub will_retry: bool,
}

/// The inputs: those in the inbox now by their state, and how many came to which end since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Queue {
    /// Not known to be complete.
    pub settling: usize,
    /// Complete, and not begun.
    pub waiting: usize,
    pub in_flight: Vec<InFlight>,
    /// In the inbox, and tried again later, as something else than the input was wrong.
    pub troubled: usize,
    /// In the inbox, and another process does them.
    pub elsewhere: usize,
    /// In the inbox, and left alone until they change.
    pub failed_now: usize,
    /// Since the start: transcribed, already done, given up.
    pub done: u64,
    pub skipped: u64,
    pub failed: u64,
    /// Seconds of audio that were transcribed.
    pub audio_seconds: f64,
    pub last_done: Option<String>,
    pub last_done_time: Option<String>,
    /// The last ten, the newest last.
    pub last_errors: VecDeque<Problem>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStage {
    #[default]
    Unloaded,
    Loading,
    Ready,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct ModelState {
    pub state: ModelStage,
    pub name: String,
    /// Of the weights, once they were loaded.
    pub revision: Option<String>,
    pub device: String,
    /// Inputs that use it now.
    pub leases: usize,
    /// Times that it was loaded, and how long that took in all.
    pub loads: u64,
    pub load_seconds: f64,
    /// Since when nobody has used it; null while it is used or not loaded.
    pub idle_since: Option<String>,
    /// How long it may be idle before it is unloaded.
    pub idle_timeout_seconds: Option<f64>,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Snapshot {
    pub doing: Doing,
    /// Why not all is well; nothing if all is.
    pub reasons: Vec<String>,
    pub inbox: InboxState,
    pub queue: Queue,
    pub model: ModelState,
}

/// The moment, as every field says it.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
