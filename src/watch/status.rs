//! Keeps the snapshot of a watch up to date and publishes every change of it.

use super::snapshot::{InFlightStatus, InputFailure, ModelStage, WatchSnapshot, WatchState, timestamp};
use super::tracker::TrackerCounts;
use crate::error::Error;
use crate::plan::PlanRequest;
use crate::report::kind;
use crate::run::RunEvent;

/// Failures that a snapshot lists.
const MAX_FAILURES: usize = 10;

/// Receives each new snapshot.
pub type Publish<'a> = &'a dyn Fn(&WatchSnapshot);

/// See the module.
pub struct WatchStatus<'a> {
    snapshot: WatchSnapshot,
    publish: Publish<'a>,
    /// The resource that the next input waits for.
    shortage: Option<String>,
    /// Why inputs in the inbox are postponed.
    postponed_because: Option<String>,
    /// Why an input could not be moved out of the inbox.
    move_failure: Option<String>,
}

impl<'a> WatchStatus<'a> {
    pub fn new(inbox: String, request: &PlanRequest, publish: Publish<'a>) -> Self {
        let mut snapshot = WatchSnapshot::default();
        snapshot.inbox.path = inbox;
        snapshot.model.name = request.settings.model.name.clone();
        snapshot.model.idle_timeout_seconds =
            request.models.policy.idle_timeout.map(|time| time.as_secs_f64());
        Self { snapshot, publish, shortage: None, postponed_because: None, move_failure: None }
    }

    /// Publishes the snapshot with the present counts and reasons.
    pub fn publish(&mut self, counts: TrackerCounts) {
        let TrackerCounts { settling, waiting, failed, postponed, locked, .. } = counts;
        let queue = &mut self.snapshot.queue;
        (queue.settling, queue.waiting, queue.failed_now) = (settling, waiting, failed);
        (queue.troubled, queue.elsewhere) = (postponed, locked);
        if postponed == 0 {
            self.postponed_because = None;
        }
        let inputs = if postponed == 1 { "1 input".into() } else { format!("{postponed} inputs") };
        let postponed =
            self.postponed_because.as_ref().map(|why| format!("{inputs} will be retried later: {why}"));
        let shortage = self.shortage.as_ref().map(|why| format!("waiting: {why}"));
        let reasons = self.snapshot.inbox.problem.iter().cloned().chain(postponed).chain(shortage);
        self.snapshot.reasons = reasons.chain(self.move_failure.clone()).collect();
        (self.publish)(&self.snapshot);
    }

    pub fn set_state(&mut self, state: WatchState) {
        self.snapshot.doing = state;
    }

    /// Returns why the inbox cannot be read.
    pub fn inbox_problem(&self) -> Option<&str> {
        let inbox = &self.snapshot.inbox;
        inbox.problem.as_deref().filter(|_| !inbox.reachable)
    }

    pub fn inbox_listed(&mut self, failures: &[Error]) {
        let inbox = &mut self.snapshot.inbox;
        inbox.reachable = true;
        inbox.problem = failures.first().map(Error::chain);
        inbox.last_looked = Some(timestamp());
    }

    pub fn inbox_unreadable(&mut self, error: &std::io::Error) {
        let inbox = &mut self.snapshot.inbox;
        inbox.reachable = false;
        inbox.problem = Some(format!("cannot read `{}`: {error}", inbox.path));
    }

    pub fn input_started(&mut self, input: &str) {
        self.shortage = None;
        self.snapshot.queue.in_flight.push(InFlightStatus {
            input: input.to_owned(),
            since: timestamp(),
            audio_seconds_done: 0.0,
            audio_seconds_known: 0.0,
        });
    }

    pub fn input_progress(&mut self, input: &str, done: f64, known: f64) {
        let mut in_flight = self.snapshot.queue.in_flight.iter_mut();
        if let Some(status) = in_flight.find(|status| status.input == input) {
            (status.audio_seconds_done, status.audio_seconds_known) = (done, known);
        }
    }

    pub fn input_skipped(&mut self) {
        self.snapshot.queue.skipped += 1;
    }

    pub fn input_done(&mut self, input: &str, audio_seconds: f64) {
        let queue = &mut self.snapshot.queue;
        queue.done += 1;
        queue.audio_seconds += audio_seconds;
        (queue.last_done, queue.last_done_time) = (Some(input.to_owned()), Some(timestamp()));
    }

    /// An input that is not retried unless that was requested.
    pub fn input_failed(&mut self, input: &str, error: &Error, will_retry: bool) {
        self.snapshot.queue.failed += 1;
        self.add_failure(input, error, will_retry);
    }

    pub fn input_postponed(&mut self, input: &str, error: &Error) {
        self.postponed_because = Some(error.chain());
        self.add_failure(input, error, true);
    }

    pub fn add_failure(&mut self, input: &str, error: &Error, will_retry: bool) {
        let (time, message) = (timestamp(), error.chain());
        let failure = InputFailure { time, input: input.to_owned(), kind: kind(error), message, will_retry };
        let failures = &mut self.snapshot.queue.last_errors;
        failures.push_back(failure);
        if failures.len() > MAX_FAILURES {
            failures.pop_front();
        }
    }

    pub fn input_ended(&mut self, input: &str) {
        self.snapshot.queue.in_flight.retain(|status| status.input != input);
    }

    /// Sets the resource that the next input waits for, if any.
    pub fn set_shortage(&mut self, shortage: Option<String>) {
        self.shortage = shortage;
    }

    /// Sets why an input could not be moved out of the inbox, if one could not.
    pub fn set_move_failure(&mut self, failure: Option<String>) {
        self.move_failure = failure;
    }

    pub fn set_leases(&mut self, leases: usize) {
        let model = &mut self.snapshot.model;
        let was_used = model.leases > 0;
        model.leases = leases;
        model.idle_since = match (leases, model.state) {
            (0, ModelStage::Ready) if !was_used && model.idle_since.is_some() => model.idle_since.take(),
            (0, ModelStage::Ready) => Some(timestamp()),
            _ => None,
        };
    }

    /// Takes in an event about the model; ignores others.
    pub fn model_event(&mut self, event: &RunEvent) {
        let model = &mut self.snapshot.model;
        match event {
            RunEvent::ModelLoading { model: name, device } => {
                model.state = ModelStage::Loading;
                (model.name, model.device) = (name.clone(), device.clone());
            }
            RunEvent::ModelLoaded { identity, device, seconds } => {
                model.state = ModelStage::Ready;
                (model.name, model.revision) = (identity.name.clone(), identity.revision.clone());
                model.device = device.clone();
                model.loads += 1;
                model.load_seconds += seconds;
            }
            RunEvent::ModelUnloaded { .. } => {
                model.state = ModelStage::Unloaded;
                (model.idle_since, model.leases) = (None, 0);
            }
            _ => {}
        }
    }

    /// A run has ended early, possibly while it loaded the model.
    pub fn run_aborted(&mut self) {
        let model = &mut self.snapshot.model;
        if model.state == ModelStage::Loading {
            model.state = ModelStage::Unloaded;
        }
    }
}
