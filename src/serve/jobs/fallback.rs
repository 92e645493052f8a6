//! The smaller model that takes the place of the usual one while memory is short.
//!
//! Only jobs that name no model get it, and the decision is made when a job is about to start. A job that has finished
//! chunks keeps its model, because they could not be used with another one.

use std::cmp::Reverse;
use std::sync::Arc;

use super::Jobs;
use crate::error::Error;
use crate::plan::{FreeMemory, ModelRequest};
use crate::serve::job::Job;
use crate::serve::record::{JobId, JobState, ModelFallback, now};

/// The smaller model, and how much memory must be free to start a job with it.
#[derive(Debug, Clone)]
pub struct FallbackModel {
    pub model: ModelRequest,
    pub free_memory: FreeMemory,
}

impl FallbackModel {
    /// Whether a job may get the model: it named none, has another one, and has not begun.
    pub fn suits(&self, job: &Job) -> bool {
        !job.names_model()
            && job.record.fallback.is_none()
            && !job.has_finished_chunks
            && job.model() != self.model.name
    }
}

impl Jobs {
    pub fn fallback(&self) -> Option<&FallbackModel> {
        self.fallback.as_ref()
    }

    /// Gives a job the smaller model, and tells those who wait.
    pub(super) fn use_fallback(&self, job: &mut Job, fallback: &FallbackModel, why: &str) {
        job.record.fallback = Some(ModelFallback {
            model: fallback.model.name.clone(),
            instead_of: job.model().to_owned(),
            reason: why.to_owned(),
            at: now(),
        });
        job.set_model(fallback.model.clone());
        job.notify();
        self.counters.fell_back();
    }

    /// Queues a job again with the smaller model after the run failed it for lack of memory. Returns whether it could.
    pub(super) fn retry_with_fallback(&self, id: &JobId, error: &Error) -> bool {
        let Some(fallback) = &self.fallback else { return false };
        self.requeue(id, |job| {
            // What it has finished is of no use any more.
            job.has_finished_chunks = false;
            let is_suited = fallback.suits(job);
            if is_suited {
                self.use_fallback(job, fallback, &error.chain());
            }
            is_suited
        })
    }

    /// Asks for a job back that the run cannot start for lack of memory, if it may get the smaller model.
    pub fn hand_back(&self, id: &JobId) {
        let Some(fallback) = &self.fallback else { return };
        let mut table = self.table();
        let Some(job) = table.jobs.get_mut(id) else { return };
        if job.record.state == JobState::Queued && job.is_handed_over && fallback.suits(job) {
            job.is_handed_back = true;
            let name = job.input_name();
            table.withdrawn.push(name);
            drop(table);
            self.wake();
        }
    }

    /// Queues a job again that was asked back. Returns whether it was.
    pub(super) fn requeue_handed_back(&self, id: &JobId) -> bool {
        self.requeue(id, |job| std::mem::take(&mut job.is_handed_back))
    }

    /// Queues a job again that the run has let go of, if `may` says so.
    fn requeue(&self, id: &JobId, may: impl FnOnce(&mut Job) -> bool) -> bool {
        let record = {
            let mut table = self.table();
            let active = table.jobs.get_mut(id).filter(|job| !job.record.state.is_ended() && !job.is_removed);
            let Some(job) = active else { return false };
            if !may(job) {
                return false;
            }
            job.begin_again();
            let (record, priority) = (job.is_kept.then(|| job.record.clone()), job.record.priority);
            table.queue.insert((Reverse(priority), id.clone()));
            record
        };
        record.iter().for_each(|record| self.store(record));
        self.wake();
        true
    }
}

impl Job {
    /// Whether it asks for one model and no other.
    pub fn names_model(&self) -> bool {
        crate::serve::accept::named_model(&self.record.options).is_some()
    }

    fn set_model(&mut self, model: ModelRequest) {
        let mut input = (*self.settings.input).clone();
        input.model = model;
        self.settings.input = Arc::new(input);
    }

    /// Forgets what a run has done with it.
    fn begin_again(&mut self) {
        self.record.state = JobState::Queued;
        self.record.started = None;
        self.is_handed_over = false;
        self.progress = (0.0, 0.0);
        self.language = None;
        self.segments.clear();
        self.notify();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::error::InputProblem;
    use crate::export::ExportOptions;
    use crate::plan::InputSettings;
    use crate::run::{FeedItem, RunEvent};
    use crate::serve::options::JobSettings;
    use crate::serve::record::{JobRecord, JobSource};
    use crate::serve::state_dir::StateDir;

    fn jobs(folder: &std::path::Path) -> Jobs {
        let model = ModelRequest::named("tiny");
        let fallback = FallbackModel { model, free_memory: FreeMemory { host: 1, device: 2 } };
        let (ended, _) = tokio::sync::mpsc::unbounded_channel();
        Jobs::new(StateDir::open(folder).unwrap(), 10, Some(fallback), ended)
    }

    fn add(jobs: &Jobs, options: Map<String, Value>) -> JobId {
        let id = JobId::new();
        let input = Arc::new(InputSettings::new(ModelRequest::named("small")));
        let settings = JobSettings { input, export: ExportOptions::default() };
        let source = JobSource::Path("/talk.mp3".into());
        let record = JobRecord { options, ..JobRecord::new(id.clone(), source, JobState::Queued) };
        assert!(jobs.add(Job::new(record, settings, Some("/talk.mp3".into()), false), true).is_ok());
        id
    }

    /// Returns what a job is given to the run with: its model, and the limits of its own.
    fn handed_over(jobs: &Jobs, shortage: Option<&str>) -> Vec<(String, Option<FreeMemory>)> {
        let given = |item| match item {
            FeedItem::Input(input) => Some((input.settings?.model.name.clone(), input.free_memory)),
            FeedItem::File(_) | FeedItem::Withdrawn(_) => None,
        };
        jobs.next_items(shortage).into_iter().filter_map(given).collect()
    }

    fn fail(jobs: &Jobs, id: &JobId, error: Error) {
        let input = jobs.with(id, Job::input_name).unwrap();
        jobs.on_event(&RunEvent::Failed { input, error: Arc::new(error) });
    }

    fn out_of_memory() -> Error {
        Error::OutOfMemory { during: "loading", source: "too little".into() }
    }

    #[test]
    fn a_job_that_fails_for_lack_of_memory_starts_again_with_the_smaller_model() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = jobs(folder.path());
        let id = add(&jobs, Map::new());
        assert_eq!(handed_over(&jobs, None), [("small".into(), None)]);
        fail(&jobs, &id, out_of_memory());
        let small = ("tiny".into(), Some(FreeMemory { host: 1, device: 2 }));
        assert_eq!(handed_over(&jobs, None), [small]);
        let fallback = jobs.with(&id, |job| job.record.fallback.clone()).flatten().unwrap();
        assert_eq!((fallback.model.as_str(), fallback.instead_of.as_str()), ("tiny", "small"));
        // There is no smaller one than that.
        fail(&jobs, &id, out_of_memory());
        assert_eq!(jobs.with(&id, |job| job.record.state), Some(JobState::Failed));
        assert_eq!(jobs.counters.fallbacks(), 1);
    }

    #[test]
    fn a_job_that_names_its_model_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = jobs(folder.path());
        let Value::Object(options) = json!({ "model": "small" }) else { panic!() };
        let id = add(&jobs, options);
        assert_eq!(handed_over(&jobs, Some("memory is short")), [("small".into(), None)]);
        fail(&jobs, &id, out_of_memory());
        assert_eq!(jobs.with(&id, |job| job.record.state), Some(JobState::Failed));
    }

    #[test]
    fn a_job_that_cannot_start_is_asked_back() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = jobs(folder.path());
        let id = add(&jobs, Map::new());
        handed_over(&jobs, None);
        jobs.hand_back(&id);
        assert!(matches!(&jobs.next_items(Some("short"))[..], [FeedItem::Withdrawn(_)]));
        let name = jobs.with(&id, Job::input_name).unwrap();
        fail(&jobs, &id, Error::input(name, InputProblem::Withdrawn));
        let models: Vec<String> =
            handed_over(&jobs, Some("memory is short")).into_iter().map(|(model, _)| model).collect();
        assert_eq!(models, ["tiny"]);
        // A client that cancels it is still obeyed.
        assert!(jobs.cancel(&id));
        let name = jobs.with(&id, Job::input_name).unwrap();
        fail(&jobs, &id, Error::input(name, InputProblem::Withdrawn));
        assert_eq!(jobs.with(&id, |job| job.record.state), Some(JobState::Cancelled));
    }
}
