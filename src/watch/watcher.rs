//! Connects the inbox with the runs: hands out complete files, takes in what becomes of them, and moves them away.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::WatchOptions;
use super::inbox::{Inbox, InboxListing};
use super::moving::{MoveOutcome, move_input};
use super::open_files::open_for_writing;
use super::snapshot::WatchState;
use super::status::{Publish, WatchStatus};
use super::tracker::{EndedInput, InboxTracker, InputEnd, TrackerOptions};
use crate::audio::is_recording;
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result};
use crate::plan::{DiscoveredFile, NameFilter, PlanRequest, requested_outputs};
use crate::run::RunEvent;

/// The least time between two listings of the inbox.
const MIN_LIST_INTERVAL: Duration = Duration::from_millis(50);
/// Delay before a failed move is retried.
const MOVE_RETRY: Duration = Duration::from_secs(30);
/// Owners of outputs that are remembered before those that are gone are dropped.
const MIN_OWNERS: usize = 4_096;

/// See the module.
pub struct Watcher<'a> {
    request: &'a PlanRequest,
    options: &'a WatchOptions,
    cancel: &'a CancelToken,
    inbox: Inbox,
    tracker: InboxTracker,
    status: WatchStatus<'a>,
    next_listing: Instant,
    moves: Vec<PendingMove>,
    /// The input of each output: no other input may write it.
    owners: HashMap<PathBuf, PathBuf>,
    /// Number of owners when those that are gone were last dropped.
    owners_kept: usize,
    /// Inputs that cannot be transcribed beside others, until they are reported.
    rejected: Vec<(String, Error)>,
}

struct PendingMove {
    ended: EndedInput,
    folder: PathBuf,
    due: Instant,
}

impl<'a> Watcher<'a> {
    pub fn new(
        request: &'a PlanRequest,
        options: &'a WatchOptions,
        cancel: &'a CancelToken,
        publish: Publish<'a>,
        now: Instant,
    ) -> Result<Self, Vec<Error>> {
        let filter = NameFilter::new(&options.include, &options.exclude)?;
        let excluded = options.done_dir.iter().chain(&options.failed_dir).cloned().collect();
        let WatchOptions { settle, retry, poll, once, .. } = *options;
        let locked_retry = poll.max(Duration::from_millis(500));
        Ok(Self {
            request,
            options,
            cancel,
            inbox: Inbox::new(&options.inbox, options.recursive, filter, excluded),
            tracker: InboxTracker::new(TrackerOptions { settle, retry, locked_retry, once }),
            status: WatchStatus::new(options.inbox.display().to_string(), request, publish),
            next_listing: now,
            moves: Vec::new(),
            owners: HashMap::new(),
            owners_kept: 0,
            rejected: Vec::new(),
        })
    }

    /// Returns the files that can be started now. Lists the inbox if that is due.
    pub fn next_files(&mut self, leases: usize, now: Instant) -> Vec<DiscoveredFile> {
        self.tracker.end_unplanned();
        self.status.set_leases(leases);
        self.move_ended(now);
        if now < self.next_listing {
            return Vec::new();
        }
        let complete = if self.list_inbox(now) { self.complete_files(now) } else { Vec::new() };
        let files = self.take(complete);
        let next = self.tracker.next_due().unwrap_or(now + self.options.poll).max(now + MIN_LIST_INTERVAL);
        self.next_listing = next.min(now + self.options.poll);
        self.publish();
        files
    }

    /// Returns how long there is nothing to do.
    pub fn idle_time(&self, now: Instant) -> Duration {
        self.next_listing.saturating_duration_since(now)
    }

    pub fn is_drained(&self, now: Instant) -> bool {
        self.tracker.is_drained() && self.moves.iter().all(|pending| pending.due > now)
    }

    /// Returns the names of inputs that were handed out and have not ended.
    pub fn active(&self) -> Vec<String> {
        self.tracker.active()
    }

    /// Returns why the inbox cannot be read.
    pub fn inbox_problem(&self) -> Option<&str> {
        self.status.inbox_problem()
    }

    /// Removes and returns the inputs that cannot be transcribed beside others.
    pub fn take_rejected(&mut self) -> Vec<(String, Error)> {
        std::mem::take(&mut self.rejected)
    }

    fn list_inbox(&mut self, now: Instant) -> bool {
        match self.inbox.list() {
            Ok(InboxListing { files, failures }) => {
                self.status.inbox_listed(&failures);
                self.tracker.update(files, now);
                true
            }
            Err(error) => {
                self.status.inbox_unreadable(&error);
                false
            }
        }
    }

    /// Returns the recordings that are due and that no process has open for writing.
    fn complete_files(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self.tracker.due_files(now);
        let written = open_for_writing(&due);
        let mut complete = Vec::with_capacity(due.len());
        for path in due {
            if written.contains(&path) {
                self.tracker.mark_being_written(&path, now);
            } else if !is_recording(&path) {
                self.tracker.mark_not_a_recording(&path);
            } else {
                complete.push(path);
            }
        }
        complete
    }

    fn take(&mut self, complete: Vec<PathBuf>) -> Vec<DiscoveredFile> {
        let mut files = Vec::new();
        for path in complete {
            let Some(subfolder) = self.tracker.take(&path) else { continue };
            let file = DiscoveredFile { path, subfolder };
            match self.claim_outputs(&file) {
                Err(why) => {
                    let name = file.path.display().to_string();
                    self.tracker.mark_planned(&name);
                    let error = Error::input(&name, InputProblem::UnsupportedRequest { why });
                    self.rejected.push((name, error));
                }
                Ok(()) => files.push(file),
            }
        }
        files
    }

    /// Makes an input the owner of its outputs. The error names an existing input that owns one of them already.
    fn claim_outputs(&mut self, file: &DiscoveredFile) -> Result<(), String> {
        // Faults of the names are reported when the input is planned.
        let Ok(outputs) = requested_outputs(file, self.request) else { return Ok(()) };
        let other_owner =
            |output: &PathBuf| self.owners.get(output).filter(|owner| **owner != file.path && owner.exists());
        if let Some((output, owner)) = outputs.iter().find_map(|output| Some((output, other_owner(output)?)))
        {
            return Err(format!("`{}` is already an output of `{}`", output.display(), owner.display()));
        }
        self.owners.extend(outputs.into_iter().map(|output| (output, file.path.clone())));
        if self.owners.len() > 2 * self.owners_kept + MIN_OWNERS {
            self.owners.retain(|_, owner| owner.exists());
            self.owners_kept = self.owners.len();
        }
        Ok(())
    }

    /// Takes in an event. Returns whether it says that another process transcribes the input.
    pub fn on_event(&mut self, event: &RunEvent, now: Instant) -> bool {
        match event {
            RunEvent::Planned { item } => self.tracker.mark_planned(&item.name()),
            RunEvent::Started { input, .. } => {
                self.tracker.mark_started(input);
                self.status.input_started(input);
                self.publish();
            }
            RunEvent::Progress { input, input_done, input_known, .. } => {
                self.status.input_progress(input, *input_done, *input_known);
            }
            RunEvent::Skipped { input, .. } => {
                self.status.input_skipped();
                self.end(input, InputEnd::Done, now);
            }
            RunEvent::Finished { input, transcript, .. } => {
                self.status.input_done(input, transcript.seconds_asked_for());
                self.end(input, InputEnd::Done, now);
            }
            RunEvent::Failed { input, error } => return self.on_failure(input, error, now),
            RunEvent::Waiting { why, .. } => {
                self.status.set_shortage(Some(why.clone()));
                self.publish();
            }
            RunEvent::ModelLoading { .. } | RunEvent::ModelLoaded { .. } | RunEvent::ModelUnloaded { .. } => {
                self.status.model_event(event);
                self.publish();
            }
            _ => {}
        }
        false
    }

    fn on_failure(&mut self, input: &str, error: &Error, now: Instant) -> bool {
        let outcome = match error.unshared() {
            // It is done, though not as well as requested.
            Error::QualityGate { .. } => {
                self.status.add_failure(input, error, false);
                return false;
            }
            _ if !Path::new(input).exists() => InputEnd::Gone,
            error => outcome_of(error),
        };
        self.status.set_shortage(None);
        match outcome {
            InputEnd::Locked => {}
            InputEnd::Gone | InputEnd::Done => self.status.add_failure(input, error, false),
            InputEnd::Failed => self.status.input_failed(input, error, self.options.retry.is_some()),
            InputEnd::Postponed => self.status.input_postponed(input, error),
        }
        self.end(input, outcome, now);
        outcome == InputEnd::Locked
    }

    fn end(&mut self, input: &str, outcome: InputEnd, now: Instant) {
        self.status.input_ended(input);
        let ended = self.tracker.end(input, outcome, now);
        let folder = match outcome {
            InputEnd::Done => self.options.done_dir.as_ref(),
            InputEnd::Failed => self.options.failed_dir.as_ref(),
            InputEnd::Postponed | InputEnd::Locked | InputEnd::Gone => None,
        };
        if let (Some(ended), Some(folder)) = (ended, folder) {
            self.moves.push(PendingMove { ended, folder: folder.clone(), due: now });
        }
        self.publish();
    }

    fn move_ended(&mut self, now: Instant) {
        let (due, later) = std::mem::take(&mut self.moves).into_iter().partition(|one| one.due <= now);
        self.moves = later;
        let due: Vec<PendingMove> = due;
        for pending in due {
            match move_input(&pending.ended, &pending.folder, self.cancel) {
                Ok(MoveOutcome::Moved(_)) => {
                    self.status.set_move_failure(None);
                    self.tracker.forget(&pending.ended.path);
                }
                Ok(MoveOutcome::Changed) => {}
                Err(error) => {
                    let (path, folder) = (pending.ended.path.display(), pending.folder.display());
                    let failure = format!("cannot move `{path}` to `{folder}`: {error}");
                    self.status.set_move_failure(Some(failure));
                    self.moves.push(PendingMove { due: now + MOVE_RETRY, ..pending });
                }
            }
        }
    }

    /// A run has ended early for a reason that may pass.
    pub fn run_aborted(&mut self) {
        self.status.run_aborted();
    }

    pub fn set_state(&mut self, state: WatchState) {
        self.status.set_state(state);
        self.publish();
    }

    fn publish(&mut self) {
        self.status.publish(self.tracker.counts());
    }
}

/// Returns whether an error is the input's own, passes, or means that another process has the input.
fn outcome_of(error: &Error) -> InputEnd {
    match error {
        Error::InputLocked { .. } => InputEnd::Locked,
        Error::Input { why: InputProblem::Unreadable(cause), .. }
            if cause.kind() != std::io::ErrorKind::PermissionDenied =>
        {
            InputEnd::Postponed
        }
        Error::Output { .. }
        | Error::InsufficientResources { .. }
        | Error::OutOfMemory { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::BackendClosed { .. }
        | Error::CloseFailed { .. }
        | Error::Cancelled(_)
        | Error::Shared(_) => InputEnd::Postponed,
        Error::Usage { .. }
        | Error::Input { .. }
        | Error::QualityGate { .. }
        | Error::Compute { .. }
        | Error::NotANumber { .. }
        | Error::Panicked { .. } => InputEnd::Failed,
    }
}
