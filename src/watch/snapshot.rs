//! The state of a watch as plain data. Its fields are the keys of the status file that monitoring programs read.

use std::collections::VecDeque;

use serde::Serialize;

/// The state of a watch as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// Looking for the model, and downloading it if needed.
    #[default]
    Starting,
    /// Nothing is in flight.
    Waiting,
    Working,
    Stopping,
    /// The last state.
    Stopped,
}

/// The inbox when it was last listed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct InboxStatus {
    pub path: String,
    /// False while it cannot be read; the watch waits for it.
    pub reachable: bool,
    /// Why it, or a folder in it, cannot be read.
    pub problem: Option<String>,
    /// When it was last listed, RFC 3339 in UTC.
    pub last_looked: Option<String>,
}

/// An input that is being transcribed.
#[derive(Debug, Clone, Serialize)]
pub struct InFlightStatus {
    pub input: String,
    pub since: String,
    /// Seconds of audio that are finished, and that are known so far.
    pub audio_seconds_done: f64,
    pub audio_seconds_known: f64,
}

/// The failure of an input.
#[derive(Debug, Clone, Serialize)]
pub struct InputFailure {
    pub time: String,
    pub input: String,
    /// A stable name, as in reports.
    pub kind: &'static str,
    pub message: String,
    /// It is retried without a change.
    pub will_retry: bool,
}

/// The inputs: those in the inbox now by their state, and totals since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct QueueStatus {
    /// Not known to be complete yet.
    pub settling: usize,
    /// Complete, and not started yet.
    pub waiting: usize,
    pub in_flight: Vec<InFlightStatus>,
    /// In the inbox, and retried later because something other than the input was wrong.
    pub troubled: usize,
    /// In the inbox, and transcribed by another process.
    pub elsewhere: usize,
    /// In the inbox, and left alone until they change.
    pub failed_now: usize,
    /// Since the start: transcribed, up to date, and failed.
    pub done: u64,
    pub skipped: u64,
    pub failed: u64,
    /// Seconds of audio that were transcribed.
    pub audio_seconds: f64,
    pub last_done: Option<String>,
    pub last_done_time: Option<String>,
    /// The last ten, the newest last.
    pub last_errors: VecDeque<InputFailure>,
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
pub struct ModelStatus {
    pub state: ModelStage,
    pub name: String,
    /// Of the weights, once they were loaded.
    pub revision: Option<String>,
    pub device: String,
    /// Inputs that use it now.
    pub leases: usize,
    /// How often it was loaded, and the total time that took.
    pub loads: u64,
    pub load_seconds: f64,
    /// Since when it has been idle; null while it is in use or not loaded.
    pub idle_since: Option<String>,
    /// How long it may be idle before it is unloaded.
    pub idle_timeout_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct WatchSnapshot {
    pub doing: WatchState,
    /// Why the watch is degraded; empty if it is not.
    pub reasons: Vec<String>,
    pub inbox: InboxStatus,
    pub queue: QueueStatus,
    pub model: ModelStatus,
}

/// Returns the present time in the form of all fields.
pub fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
