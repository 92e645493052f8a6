//! Between the inbox and the work: hands out what is complete, hears what becomes of it, and keeps the account.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::WatchOptions;
use super::inbox::{Inbox, View, written};
use super::moving::{Moved, into_folder};
use super::seen::{Census, End, Ended, Ledger, Terms};
use super::snapshot::{Doing, InFlight, ModelStage, Problem, Snapshot, now};
use crate::audio::is_recording;
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result};
use crate::plan::PlanRequest;
use crate::plan::{Filter, asked};
use crate::report::kind;
use crate::run::FoundInputs;
use crate::run::RunEvent;

/// Errors that are told of.
const TOLD: usize = 10;
/// The least time between two looks.
const BREATH: Duration = Duration::from_millis(50);
/// How long to wait before a file is moved that could not be.
const MOVE_AGAIN: Duration = Duration::from_secs(30);
/// Outputs whose owners are remembered before it is looked which of them are there.
const OWNERS: usize = 4_096;

/// Tells others what is new.
pub type Show<'a> = &'a dyn Fn(&Snapshot);

/// See the module.
pub struct Watcher<'a> {
    request: &'a PlanRequest,
    options: &'a WatchOptions,
    inbox: Inbox,
    ledger: Ledger,
    cancel: &'a CancelToken,
    show: Show<'a>,
    pub state: Snapshot,
    next_look: Instant,
    moves: Vec<Move>,
    /// Which input made which output: no other may.
    owners: HashMap<PathBuf, PathBuf>,
    owners_checked: usize,
    /// Inputs that cannot be done beside others; to be told as failures.
    pub refused: Vec<(String, Error)>,
    /// What the machine lacks to begin the next input, and why inputs in the inbox met trouble.
    lacking: Option<String>,
    trouble: Option<String>,
    unmoved: Option<String>,
}

struct Move {
    ended: Ended,
    folder: PathBuf,
    due: Instant,
}

impl<'a> Watcher<'a> {
    pub fn new(
        request: &'a PlanRequest,
        options: &'a WatchOptions,
        cancel: &'a CancelToken,
        show: Show<'a>,
    ) -> Result<Self, Vec<Error>> {
        let filter = Filter::new(&options.include, &options.exclude)?;
        let without = options.done_dir.iter().chain(&options.failed_dir).cloned().collect();
        let WatchOptions { settle, retry, poll, once, .. } = *options;
        let elsewhere = poll.max(Duration::from_millis(500));
        let mut state = Snapshot::default();
        state.inbox.path = options.inbox.display().to_string();
        state.model.name = request.settings.model.name.clone();
        state.model.idle_timeout_seconds = request.models.policy.idle_timeout.map(|time| time.as_secs_f64());
        Ok(Self {
            request,
            options,
            inbox: Inbox::new(&options.inbox, options.recursive, filter, without),
            ledger: Ledger::new(Terms { settle, retry, elsewhere, once }),
            cancel,
            show,
            state,
            next_look: Instant::now(),
            moves: Vec::new(),
            owners: HashMap::new(),
            owners_checked: 0,
            refused: Vec::new(),
            lacking: None,
            trouble: None,
            unmoved: None,
        })
    }

    /// What can be begun now. Looks into the inbox if it is time to.
    pub fn more(&mut self, leases: usize) -> FoundInputs {
        self.ledger.settle_unspoken();
        self.note_leases(leases);
        let at = Instant::now();
        self.make_moves(at);
        if at < self.next_look {
            return FoundInputs::new();
        }
        let ready = if self.look(at) { self.ready(at) } else { Vec::new() };
        let known = self.hand_out(ready);
        let soon = self.ledger.next_due().unwrap_or(at + self.options.poll).max(Instant::now() + BREATH);
        self.next_look = soon.min(at + self.options.poll);
        self.tell();
        known
    }

    /// How long nothing is to be done, if nothing comes.
    pub fn rest(&self) -> Duration {
        self.next_look.saturating_duration_since(Instant::now())
    }

    pub fn is_drained(&self) -> bool {
        self.ledger.is_drained() && self.moves.iter().all(|due| due.due > Instant::now())
    }

    pub fn in_work(&self) -> Vec<String> {
        self.ledger.in_work()
    }

    /// Why the inbox cannot be read.
    pub fn inbox_problem(&self) -> Option<&str> {
        self.state.inbox.problem.as_deref().filter(|_| !self.state.inbox.reachable)
    }

    fn look(&mut self, at: Instant) -> bool {
        let inbox = &mut self.state.inbox;
        match self.inbox.look() {
            Ok(View { sights, failures }) => {
                inbox.reachable = true;
                inbox.problem = failures.first().map(Error::chain);
                inbox.last_looked = Some(now());
                self.ledger.see(sights, at);
                true
            }
            Err(error) => {
                inbox.reachable = false;
                inbox.problem = Some(format!("`{}` cannot be read: {error}", inbox.path));
                false
            }
        }
    }

    /// Files that are complete, and recordings.
    fn ready(&mut self, at: Instant) -> Vec<PathBuf> {
        let settled = self.ledger.settled(at);
        let written = written(&settled);
        let mut ready = Vec::with_capacity(settled.len());
        for path in settled {
            match () {
                () if written.contains(&path) => self.ledger.busy(&path, at),
                () if !is_recording(&path) => self.ledger.other(&path),
                () => ready.push(path),
            }
        }
        ready
    }

    fn hand_out(&mut self, ready: Vec<PathBuf>) -> FoundInputs {
        let mut known = FoundInputs::new();
        for path in ready {
            let Some(below) = self.ledger.hand_out(&path) else { continue };
            let one = (path, below);
            match self.rival(&one) {
                Some(why) => {
                    let name = one.0.display().to_string();
                    self.ledger.planned(&name);
                    let error = Error::input(&name, InputProblem::UnsupportedRequest { why });
                    self.refused.push((name, error));
                }
                None => known.push(one),
            }
        }
        known
    }

    /// Another input that is still there and makes one of the same files; else they are this one's.
    fn rival(&mut self, one: &(PathBuf, PathBuf)) -> Option<String> {
        // What is wrong with the names is told when it is planned.
        let outputs = asked(std::slice::from_ref(one), self.request).ok()?.pop()?;
        let other =
            |output: &PathBuf| self.owners.get(output).filter(|owner| **owner != one.0 && owner.exists());
        if let Some((output, owner)) = outputs.iter().find_map(|output| Some((output, other(output)?))) {
            let (output, owner) = (output.display(), owner.display());
            return Some(format!("`{output}` is already made of `{owner}`"));
        }
        self.owners.extend(outputs.into_iter().map(|output| (output, one.0.clone())));
        if self.owners.len() > 2 * self.owners_checked + OWNERS {
            self.owners.retain(|_, owner| owner.exists());
            self.owners_checked = self.owners.len();
        }
        None
    }

    /// Takes in an event; true if it says that another process does the input.
    pub fn hear(&mut self, event: &RunEvent) -> bool {
        let at = Instant::now();
        match event {
            RunEvent::Planned { item } => self.ledger.planned(&item.name()),
            RunEvent::Started { input, .. } => self.begun(input),
            RunEvent::Progress { input, input_done, input_known, .. } => {
                let mut in_flight = self.state.queue.in_flight.iter_mut();
                if let Some(one) = in_flight.find(|one| one.input == *input) {
                    (one.audio_seconds_done, one.audio_seconds_known) = (*input_done, *input_known);
                }
            }
            RunEvent::Skipped { input, .. } => {
                self.state.queue.skipped += 1;
                self.close(input, End::Done, at);
            }
            RunEvent::Finished { input, transcript, .. } => {
                let queue = &mut self.state.queue;
                queue.done += 1;
                queue.audio_seconds += transcript.seconds_asked_for();
                (queue.last_done, queue.last_done_time) = (Some((*input).to_owned()), Some(now()));
                self.close(input, End::Done, at);
            }
            RunEvent::Failed { input, error } => return self.failed(input, error, at),
            RunEvent::Waiting { why, .. } => {
                self.lacking = Some((*why).to_owned());
                self.tell();
            }
            RunEvent::ModelLoading { .. } | RunEvent::ModelLoaded { .. } | RunEvent::ModelUnloaded { .. } => {
                self.model(event)
            }
            _ => {}
        }
        false
    }

    fn begun(&mut self, input: &str) {
        self.ledger.begun(input);
        self.lacking = None;
        let (input, since) = (input.to_owned(), now());
        let one = InFlight { input, since, audio_seconds_done: 0.0, audio_seconds_known: 0.0 };
        self.state.queue.in_flight.push(one);
        self.tell();
    }

    fn failed(&mut self, input: &str, error: &Error, at: Instant) -> bool {
        let end = match error.unshared() {
            // Done, but not as well as was asked.
            Error::QualityGate { .. } => {
                self.remember(input, error, false);
                return false;
            }
            _ if !Path::new(input).exists() => End::Gone,
            _ => end_of(error),
        };
        self.lacking = None;
        match end {
            End::Elsewhere => {}
            End::Gone | End::Done => self.remember(input, error, false),
            End::Failed => {
                self.state.queue.failed += 1;
                self.remember(input, error, self.options.retry.is_some());
            }
            End::Trouble => {
                self.trouble = Some(error.chain());
                self.remember(input, error, true);
            }
        }
        self.close(input, end, at);
        end == End::Elsewhere
    }

    fn remember(&mut self, input: &str, error: &Error, will_retry: bool) {
        let (time, message) = (now(), error.chain());
        let problem = Problem { time, input: input.to_owned(), kind: kind(error), message, will_retry };
        let errors: &mut VecDeque<Problem> = &mut self.state.queue.last_errors;
        errors.push_back(problem);
        if errors.len() > TOLD {
            errors.pop_front();
        }
    }

    fn close(&mut self, input: &str, end: End, at: Instant) {
        self.state.queue.in_flight.retain(|one| one.input != input);
        let ended = self.ledger.ended(input, end, at);
        let folder = match end {
            End::Done => self.options.done_dir.as_ref(),
            End::Failed => self.options.failed_dir.as_ref(),
            End::Trouble | End::Elsewhere | End::Gone => None,
        };
        if let (Some(ended), Some(folder)) = (ended, folder) {
            self.moves.push(Move { ended, folder: folder.clone(), due: at });
        }
        self.tell();
    }

    fn make_moves(&mut self, at: Instant) {
        let (due, later) = std::mem::take(&mut self.moves).into_iter().partition(|one: &Move| one.due <= at);
        self.moves = later;
        for one in due {
            match into_folder(&one.ended, &one.folder, self.cancel) {
                Ok(Moved::To(_)) => {
                    self.unmoved = None;
                    self.ledger.forget(&one.ended.path);
                }
                Ok(Moved::No) => {}
                Err(error) => {
                    let (path, folder) = (one.ended.path.display(), one.folder.display());
                    self.unmoved = Some(format!("`{path}` cannot be moved to `{folder}`: {error}"));
                    self.moves.push(Move { due: at + MOVE_AGAIN, ..one });
                }
            }
        }
    }

    fn note_leases(&mut self, leases: usize) {
        let model = &mut self.state.model;
        let was_used = model.leases > 0;
        model.leases = leases;
        model.idle_since = match (leases, model.state) {
            (0, ModelStage::Ready) if !was_used && model.idle_since.is_some() => model.idle_since.take(),
            (0, ModelStage::Ready) => Some(now()),
            _ => None,
        };
    }

    fn model(&mut self, event: &RunEvent) {
        let model = &mut self.state.model;
        match event {
            RunEvent::ModelLoading { model: name, device } => {
                model.state = ModelStage::Loading;
                (model.name, model.device) = ((*name).to_owned(), (*device).to_owned());
            }
            RunEvent::ModelLoaded { identity, device, seconds } => {
                model.state = ModelStage::Ready;
                (model.name, model.revision) = (identity.name.clone(), identity.revision.clone());
                model.device = (*device).to_owned();
                model.loads += 1;
                model.load_seconds += seconds;
            }
            _ => {
                model.state = ModelStage::Unloaded;
                (model.idle_since, model.leases) = (None, 0);
            }
        }
        self.tell();
    }

    /// The work ended before its time, for a reason that may pass.
    pub fn unloaded(&mut self) {
        if self.state.model.state == ModelStage::Loading {
            self.state.model.state = ModelStage::Unloaded;
        }
    }

    pub fn doing(&mut self, doing: Doing) {
        self.state.doing = doing;
        self.tell();
    }

    fn tell(&mut self) {
        let Census { settling, waiting, failed, troubled, elsewhere, .. } = self.ledger.census();
        let queue = &mut self.state.queue;
        (queue.settling, queue.waiting, queue.failed_now) = (settling, waiting, failed);
        (queue.troubled, queue.elsewhere) = (troubled, elsewhere);
        if troubled == 0 {
            self.trouble = None;
        }
        let inputs = if troubled == 1 { "1 input is".into() } else { format!("{troubled} inputs are") };
        let trouble = self.trouble.as_ref().map(|why| format!("{inputs} tried again later: {why}"));
        let lacking = self.lacking.as_ref().map(|why| format!("waiting: {why}"));
        let reasons = self.state.inbox.problem.iter().cloned().chain(trouble).chain(lacking);
        self.state.reasons = reasons.chain(self.unmoved.clone()).collect();
        (self.show)(&self.state);
    }
}

/// Whose fault it is.
fn end_of(error: &Error) -> End {
    match error.unshared() {
        Error::InputLocked { .. } => End::Elsewhere,
        Error::Input { why: InputProblem::Unreadable(cause), .. }
            if cause.kind() != std::io::ErrorKind::PermissionDenied =>
        {
            End::Trouble
        }
        Error::Output { .. }
        | Error::InsufficientResources { .. }
        | Error::OutOfMemory { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::BackendClosed { .. }
        | Error::CloseFailed { .. }
        | Error::Cancelled(_)
        | Error::Shared(_) => End::Trouble,
        Error::Usage { .. }
        | Error::Input { .. }
        | Error::QualityGate { .. }
        | Error::Compute { .. }
        | Error::Panicked { .. } => End::Failed,
    }
}
