//! All jobs of the server: their queue, what happens to them, and who waits for that.
//!
//! The run asks for items and sends events; the HTTP side adds, reads and cancels. Both hold the lock only for moments,
//! and files are written without it.

mod fallback;
mod retention;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};

pub use self::fallback::FallbackModel;

use super::counters::Counters;
use super::idempotency::SubmissionKeys;
use super::job::Job;
use super::record::{JobFailure, JobId, JobRecord, JobResult, JobState, now, seconds_since};
use super::state_dir::StateDir;
use crate::error::{Error, InputProblem, Result, ScarceResource};
use crate::plan::InputName;
use crate::run::{FeedItem, RunEvent};

/// How much the last job counts for the expected duration of the next one.
const LAST_JOB_WEIGHT: f64 = 0.2;

/// Seconds after which to try again, at least and at most.
const RETRY_AFTER: (f64, f64) = (1.0, 600.0);

/// See the module.
pub struct Jobs {
    state: StateDir,
    max_queue: usize,
    /// The model that takes the place of the usual one while memory is short.
    fallback: Option<FallbackModel>,
    table: Mutex<JobTable>,
    wake: (Sender<()>, Receiver<()>),
    /// Jobs that have ended and have a webhook.
    ended: tokio::sync::mpsc::UnboundedSender<JobId>,
    pub counters: Counters,
    /// The keys of jobs, and of jobs that are being received.
    pub keys: Arc<SubmissionKeys>,
}

#[derive(Default)]
struct JobTable {
    jobs: BTreeMap<JobId, Job>,
    /// Jobs that wait for their start, in the order of it.
    queue: BTreeSet<(Reverse<i32>, JobId)>,
    /// Jobs that the run has and that were cancelled since it asked last.
    withdrawn: Vec<InputName>,
    /// Seconds that a job runs, on average of the last ones.
    mean_seconds: f64,
}

/// Why a job is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull {
    /// Seconds after which there may be room.
    pub retry_after: u64,
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    pub fetching: usize,
    pub queued: usize,
    pub running: usize,
    /// Jobs that have ended and are kept.
    pub ended: usize,
}

impl Jobs {
    pub fn new(
        state: StateDir,
        max_queue: usize,
        fallback: Option<FallbackModel>,
        ended: tokio::sync::mpsc::UnboundedSender<JobId>,
    ) -> Self {
        let (table, counters) = (Mutex::default(), Counters::default());
        Self { state, max_queue, fallback, table, wake: bounded(1), ended, counters, keys: Arc::default() }
    }

    pub fn state(&self) -> &StateDir {
        &self.state
    }

    fn table(&self) -> MutexGuard<'_, JobTable> {
        // A panic was reported by the panic hook, and no change is made in several steps that could fail.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what receives a message when there may be something for the run.
    pub fn wake_receiver(&self) -> Receiver<()> {
        self.wake.1.clone()
    }

    /// Wakes the run.
    pub fn wake(&self) {
        // A full channel means that it will wake anyway.
        let _ = self.wake.0.try_send(());
    }

    /// Fails if the queue is full.
    pub fn check_queue(&self) -> Result<(), QueueFull> {
        self.table().check_queue(self.max_queue)
    }

    /// Adds a job whose files are in place. One that was accepted earlier is added even if the queue is full.
    pub fn add(&self, job: Job, is_new: bool) -> Result<(), QueueFull> {
        {
            let mut table = self.table();
            if is_new {
                table.check_queue(self.max_queue)?;
            }
            let id = job.id().clone();
            if let Some(submission) = &job.record.submission {
                self.keys.assign(job.record.owner.clone(), submission.key.clone(), id.clone());
            }
            if job.record.state == JobState::Queued {
                table.queue.insert((Reverse(job.record.priority), id.clone()));
            }
            table.jobs.insert(id, job);
        }
        self.wake();
        Ok(())
    }

    /// Queues a job whose recording was downloaded.
    pub fn fetched(&self, id: &JobId) {
        let recording = self.state.recording(id);
        let mut table = self.table();
        if let Some(job) = table.jobs.get_mut(id).filter(|job| job.record.state == JobState::Fetching) {
            job.record.state = JobState::Queued;
            job.recording = recording;
            job.notify();
            let key = (Reverse(job.record.priority), id.clone());
            table.queue.insert(key);
            drop(table);
            self.wake();
        }
    }

    /// Calls `read` with a job, if there is one of that name.
    pub fn with<T>(&self, id: &JobId, read: impl FnOnce(&Job) -> T) -> Option<T> {
        self.table().jobs.get(id).filter(|job| !job.is_removed).map(read)
    }

    /// Calls `read` with all stored jobs, the newest first, until it returns false.
    pub fn list(&self, mut read: impl FnMut(&Job) -> bool) {
        let table = self.table();
        let stored = table.jobs.values().rev().filter(|job| job.is_kept && !job.is_removed);
        for job in stored {
            if !read(job) {
                break;
            }
        }
    }

    /// Returns how many jobs start before this one, if it waits.
    pub fn position(&self, id: &JobId) -> Option<usize> {
        let table = self.table();
        let key = (Reverse(table.jobs.get(id)?.record.priority), id.clone());
        table.queue.contains(&key).then(|| table.queue.range(..key).count())
    }

    pub fn counts(&self) -> JobCounts {
        let table = self.table();
        let mut counts = JobCounts::default();
        for job in table.jobs.values() {
            *match job.record.state {
                JobState::Fetching => &mut counts.fetching,
                JobState::Queued => &mut counts.queued,
                JobState::Running => &mut counts.running,
                JobState::Completed | JobState::Failed | JobState::Cancelled => &mut counts.ended,
            } += 1;
        }
        counts
    }

    /// Returns after how many seconds a refused client may try again.
    pub fn retry_after(&self) -> u64 {
        self.table().retry_after()
    }

    /// Whether the run has anything to do.
    pub fn has_work(&self) -> bool {
        let table = self.table();
        !table.queue.is_empty() || !table.withdrawn.is_empty()
    }

    /// Returns what the run should do next: the first waiting job of every model that has none waiting in the run, so that
    /// the queue stays here, where its order can still change. With a reason to use the smaller model, jobs that may get it
    /// do.
    pub fn next_items(&self, shortage: Option<&str>) -> Vec<FeedItem> {
        let mut table = self.table();
        let mut items: Vec<FeedItem> = table.withdrawn.drain(..).map(FeedItem::Withdrawn).collect();
        let offer = self.fallback.as_ref().zip(shortage);
        let waiting = table.queue.iter().filter_map(|(_, id)| table.jobs.get(id));
        let mut models: BTreeSet<String> =
            waiting.clone().filter(|job| job.is_handed_over).map(|job| job.model().to_owned()).collect();
        let model = |job: &Job| match offer {
            Some((fallback, _)) if fallback.suits(job) => fallback.model.name.clone(),
            _ => job.model().to_owned(),
        };
        let next = waiting.filter(|job| !job.is_handed_over && models.insert(model(job)));
        let next: Vec<JobId> = next.map(|job| job.id().clone()).collect();
        let (mut broken, mut changed) = (Vec::new(), Vec::new());
        for id in next {
            let Some(job) = table.jobs.get_mut(&id) else { continue };
            if let Some((fallback, why)) = offer.filter(|(fallback, _)| fallback.suits(job)) {
                self.use_fallback(job, fallback, why);
                changed.extend(job.is_kept.then(|| job.record.clone()));
            }
            match job.planned(&self.state) {
                Some(mut input) => {
                    let has_fallback = job.record.fallback.is_some();
                    input.free_memory =
                        self.fallback.as_ref().filter(|_| has_fallback).map(|f| f.free_memory);
                    job.is_handed_over = true;
                    items.push(FeedItem::Input(Box::new(input)));
                }
                None => broken.push(id),
            }
        }
        drop(table);
        changed.iter().for_each(|record| self.store(record));
        for id in broken {
            self.fail(&id, JobFailure::missing("its recording is gone"));
        }
        items
    }

    /// Ends all requests that wait for their answer, because the server ends.
    pub fn end_requests(&self) {
        let waiting: Vec<JobId> = {
            let table = self.table();
            let waiting = table.jobs.values().filter(|job| !job.is_kept && !job.record.state.is_ended());
            waiting.map(|job| job.id().clone()).collect()
        };
        for id in waiting {
            self.fail(&id, JobFailure::ending());
        }
        // The run has ended, and has none of them any more.
        let removed: Vec<JobId> = {
            let mut table = self.table();
            table.jobs.values_mut().for_each(|job| job.is_handed_over = false);
            table.jobs.values().filter(|job| job.is_removed).map(|job| job.id().clone()).collect()
        };
        removed.iter().for_each(|id| self.forget(id));
    }

    /// Takes in what happens in the run.
    pub fn on_event(&self, event: &RunEvent) {
        let Some(id) = event.input().and_then(|input| JobId::parse(input.id()?)) else { return };
        match event {
            RunEvent::Started { .. } => {
                self.update(&id, |job| {
                    job.record.state = JobState::Running;
                    job.record.started = Some(now());
                });
                self.counters.waited(self.with(&id, |job| seconds_since(&job.record.created)).flatten());
                self.wake();
            }
            RunEvent::Progress { input_done, input_known, .. } => {
                self.update(&id, |job| job.progress = (*input_done, *input_known));
            }
            RunEvent::LanguageDetected { guess, .. } => {
                self.update(&id, |job| job.language = Some(guess.language.code().to_owned()));
            }
            RunEvent::Segments { segments, .. } => {
                self.update(&id, |job| job.segments.extend(segments.iter().cloned()));
            }
            RunEvent::Finished { transcript, seconds, .. } => {
                let result = JobResult::of(transcript, *seconds);
                self.counters.completed(transcript.duration, *seconds);
                if let Some(job) = self.table().jobs.get_mut(&id).filter(|job| !job.is_kept) {
                    job.transcript = Some(Arc::clone(transcript));
                }
                self.released(&id, JobState::Completed, None, Some(result));
            }
            RunEvent::Failed { error, .. } => match error.unshared() {
                // It is done, and the server asks for no quality.
                Error::QualityGate { .. } => {}
                // It goes on when the server starts again.
                Error::Cancelled(_) => {}
                Error::Input { why: InputProblem::Withdrawn, .. } if self.requeue_handed_back(&id) => {}
                error if is_short_of_memory(error) && self.retry_with_fallback(&id, error) => {}
                Error::Input { why: InputProblem::Withdrawn, .. } => {
                    self.released(&id, JobState::Cancelled, None, None);
                }
                error => self.released(&id, JobState::Failed, Some(error.into()), None),
            },
            _ => {}
        }
    }

    /// Changes a job that has not ended, and tells those who wait.
    fn update(&self, id: &JobId, change: impl FnOnce(&mut Job)) {
        let mut table = self.table();
        let Some(job) = table.jobs.get_mut(id).filter(|job| !job.record.state.is_ended()) else { return };
        change(job);
        job.notify();
        let (state, key) = (job.record.state, (Reverse(job.record.priority), id.clone()));
        if state != JobState::Queued {
            table.queue.remove(&key);
        }
    }

    /// Ends a job that the run has let go of.
    fn released(&self, id: &JobId, state: JobState, failure: Option<JobFailure>, result: Option<JobResult>) {
        let seconds = result.as_ref().map(|result| result.seconds);
        {
            let mut table = self.table();
            let Some(job) = table.jobs.get_mut(id) else { return };
            job.is_handed_over = false;
            if let Some(seconds) = seconds {
                table.mean_seconds += LAST_JOB_WEIGHT * (seconds - table.mean_seconds);
            }
        }
        self.end(id, state, failure, result);
        if self.table().jobs.get(id).is_some_and(|job| job.is_removed) {
            self.forget(id);
        }
        self.wake();
    }

    /// Ends a job, and stores that it has ended.
    fn end(&self, id: &JobId, state: JobState, failure: Option<JobFailure>, result: Option<JobResult>) {
        let record = {
            let mut table = self.table();
            let Some(job) = table.jobs.get_mut(id) else { return };
            let key = (Reverse(job.record.priority), id.clone());
            if !job.end(state, failure, result) {
                return;
            }
            let record = job.is_kept.then(|| job.record.clone());
            table.queue.remove(&key);
            record
        };
        self.counters.ended(state);
        if let Some(record) = record {
            self.store(&record);
            if record.webhook.is_some() {
                // Without a receiver the server is ending, and calls it when it starts again.
                let _ = self.ended.send(id.clone());
            }
        }
    }

    /// Fails a job that the run does not have.
    pub fn fail(&self, id: &JobId, failure: JobFailure) {
        self.end(id, JobState::Failed, Some(failure), None);
    }

    /// Fails all jobs that the run has, because it ended early.
    pub fn fail_running(&self, error: &Error) {
        let running: Vec<JobId> = {
            let table = self.table();
            table.jobs.values().filter(|job| job.is_handed_over).map(|job| job.id().clone()).collect()
        };
        running.iter().for_each(|id| self.released(id, JobState::Failed, Some(error.into()), None));
    }

    /// Cancels a job that has not ended. Returns whether it was cancelled now.
    pub fn cancel(&self, id: &JobId) -> bool {
        let is_active = {
            let mut table = self.table();
            let Some(job) = table.jobs.get(id).filter(|job| !job.record.state.is_ended()) else {
                return false;
            };
            let name = job.is_handed_over.then(|| job.input_name());
            table.withdrawn.extend(name);
            true
        };
        self.end(id, JobState::Cancelled, None, None);
        self.wake();
        is_active
    }

    /// Notes what became of an attempt to call a webhook.
    pub fn set_webhook(&self, id: &JobId, attempts: u32, is_settled: bool, outcome: String) {
        let record = {
            let mut table = self.table();
            let Some(job) = table.jobs.get_mut(id) else { return };
            let Some(webhook) = &mut job.record.webhook else { return };
            (webhook.attempts, webhook.is_settled, webhook.outcome) = (attempts, is_settled, Some(outcome));
            job.record.clone()
        };
        self.store(&record);
    }

    fn store(&self, record: &JobRecord) {
        if let Err(error) = self.state.save(record) {
            // It is done again when the server starts again.
            self.counters.state_failed(&error.chain());
        }
    }
}

/// Whether a smaller model could help.
fn is_short_of_memory(error: &Error) -> bool {
    let memory = ScarceResource::Memory;
    match error {
        Error::OutOfMemory { .. } => true,
        Error::InsufficientResources { resource, .. } => *resource == memory,
        _ => false,
    }
}

impl JobTable {
    fn check_queue(&self, most: usize) -> Result<(), QueueFull> {
        match self.queue.len() < most {
            true => Ok(()),
            false => Err(QueueFull { retry_after: self.retry_after() }),
        }
    }

    fn retry_after(&self) -> u64 {
        let running = self.jobs.values().filter(|job| job.record.state == JobState::Running).count();
        let seconds = self.mean_seconds / running.max(1) as f64;
        seconds.clamp(RETRY_AFTER.0, RETRY_AFTER.1).ceil() as u64
    }
}
