//! Turns what a client asks for into jobs, and stored jobs into jobs again.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Server;
use super::idempotency::ReservedKey;
use super::job::Job;
use super::jobs::QueueFull;
use super::options::JobSettings;
use super::pressure::Refusal;
use super::record::{JobFailure, JobId, JobRecord, JobResult, JobSource, JobState, now};
use super::state_dir::IncomingFolder;
use crate::error::{Error, Result};
use crate::import::from_import::from_openai_json;

/// The model that OpenAI's clients ask for; here it is the first of the server's models.
const OPENAI_MODEL: &str = "whisper-1";

/// Returns the model that options name, if they name one and no other will do.
pub fn named_model(options: &Map<String, Value>) -> Option<&Value> {
    options.get("model").filter(|model| !model.is_null() && *model != OPENAI_MODEL)
}

/// Why a job is not accepted.
pub enum AcceptError {
    /// Its options are wrong.
    Options(Error),
    QueueFull(QueueFull),
    /// Memory is short for the model that it names.
    Short(Refusal),
    /// It cannot be stored.
    Store(Error),
}

impl Server {
    /// Turns options into settings. An error names the option.
    pub fn settings(&self, options: &Map<String, Value>) -> Result<JobSettings> {
        self.settings_cache.get(options, || self.read_settings(options))
    }

    fn read_settings(&self, options: &Map<String, Value>) -> Result<JobSettings> {
        let mut options = options.clone();
        let model = match named_model(&options) {
            None => None,
            Some(Value::String(name)) => Some(name.clone()),
            Some(_) => return Err(Error::usage("`model`", "must be a name")),
        };
        options.remove("model");
        let mut settings = (self.options.parser)(&options)?;
        let (beams, most) = (settings.input.decode.beams_at_once(), self.max_beams);
        if beams > most {
            return Err(Error::Usage {
                what: "`beam-size`".into(),
                why: format!("asks for {beams} sequences of a window at a time, and this server has {most}"),
                hint: Some(format!("ask for less, or start the server with `--beam-size {beams}`")),
            });
        }
        let known = &self.options.models;
        let request = match &model {
            None => known.first(),
            Some(name) => known.iter().find(|known| known.name == *name),
        };
        let Some(request) = request else {
            let names: Vec<String> = known.iter().map(|known| format!("`{}`", known.name)).collect();
            return Err(Error::Usage {
                what: format!("model `{}`", model.unwrap_or_default()),
                why: "is not one of this server's".into(),
                hint: Some(format!("its models are {}", names.join(", "))),
            });
        };
        let mut input = (*settings.input).clone();
        input.model = request.clone();
        settings.input = input.into();
        Ok(settings)
    }

    /// Fails if memory is short for the model that is named. What names none can have the smaller model.
    fn check_memory(&self, options: &Map<String, Value>) -> Result<(), AcceptError> {
        match self.jobs.fallback().and(named_model(options)).and(self.pressure.memory_shortage()) {
            Some(why) => Err(AcceptError::Short(Refusal::short(why))),
            None => Ok(()),
        }
    }

    /// Accepts a job. When this returns, it survives any end of the server, and its key means it.
    pub fn accept_job(
        &self,
        record: JobRecord,
        incoming: IncomingFolder,
        _key: Option<ReservedKey>,
    ) -> Result<(), AcceptError> {
        let settings = self.settings(&record.options).map_err(AcceptError::Options)?;
        self.check_memory(&record.options)?;
        self.jobs.check_queue().map_err(AcceptError::QueueFull)?;
        let mut recording = self.jobs.state().accept(incoming, &record).map_err(AcceptError::Store)?;
        if let JobSource::Path(path) = &record.source {
            recording = Some(path.clone());
        }
        let id = record.id.clone();
        self.jobs.add(Job::new(record, settings, recording, true), true).map_err(|full| {
            // What stays is found at the next start.
            let _ = self.jobs.state().remove(&id, true);
            AcceptError::QueueFull(full)
        })
    }

    /// Accepts a request that is answered at once. Dropping the value removes it.
    pub fn accept_request(
        self: &Arc<Self>,
        name: String,
        options: Map<String, Value>,
        owner: Option<String>,
        incoming: IncomingFolder,
        id: JobId,
    ) -> Result<PendingRequest, AcceptError> {
        let settings = self.settings(&options).map_err(AcceptError::Options)?;
        self.check_memory(&options)?;
        let recording = self.jobs.state().keep_request(incoming, &id).map_err(AcceptError::Store)?;
        let pending = PendingRequest { server: Arc::clone(self), id: id.clone() };
        let record =
            JobRecord { owner, options, ..JobRecord::new(id, JobSource::Upload(name), JobState::Queued) };
        let added = self.jobs.add(Job::new(record, settings, recording, false), true);
        added.map_err(|full| {
            // What stays is removed at the next start.
            let _ = self.jobs.state().remove(&pending.id, false);
            AcceptError::QueueFull(full)
        })?;
        Ok(pending)
    }
}

impl Server {
    /// Gives a job of an earlier run the smaller model that it had, if the server still has it.
    fn with_fallback(&self, mut settings: JobSettings, record: &mut JobRecord) -> JobSettings {
        let Some(fallback) = &record.fallback else { return settings };
        match self.options.models.iter().find(|model| model.name == fallback.model) {
            Some(model) => {
                let mut input = (*settings.input).clone();
                input.model = model.clone();
                settings.input = input.into();
            }
            None if record.state.is_ended() => {}
            None => record.fallback = None,
        }
        settings
    }
}

/// A request that waits for its transcript. Dropping it, say because its client is gone, cancels and removes it.
pub struct PendingRequest {
    server: Arc<Server>,
    pub id: JobId,
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.server.jobs.remove(&self.id);
    }
}

/// Returns the figures of a stored transcript.
fn finished_result(transcript: &[u8]) -> Option<JobResult> {
    let transcript = from_openai_json("", transcript).filter(|transcript| !transcript.is_partial)?;
    // How long it took is not known any more.
    Some(JobResult::of(&transcript, 0.0))
}

/// Reads the stored jobs, queues those that have not ended, and returns those whose recording is to be downloaded.
pub fn restore(server: &Server, note: &dyn Fn(String)) -> Result<Vec<JobId>> {
    let (mut records, problems) = server.jobs.state().load()?;
    problems.into_iter().for_each(note);
    records.sort_by(|a, b| a.id.cmp(&b.id));
    let mut fetching = Vec::new();
    let (mut waiting, mut broken) = (0, Vec::new());
    for mut record in records {
        let state = server.jobs.state();
        let id = record.id.clone();
        let recording = match &record.source {
            JobSource::Path(path) => Some(path.clone()),
            JobSource::Upload(_) | JobSource::Url(_) => state.recording(&id),
        };
        if !record.state.is_ended() {
            waiting += 1;
            // A download that was cut short begins again.
            record.state = match (record.state, &record.source) {
                (JobState::Fetching, JobSource::Url(_)) => JobState::Fetching,
                _ => JobState::Queued,
            };
        }
        if !record.state.is_ended()
            && let Some(result) = finished_result(&std::fs::read(state.transcript(&id)).unwrap_or_default())
        {
            // It was finished, and only that was not noted.
            (record.state, record.result, record.finished) = (JobState::Completed, Some(result), Some(now()));
            waiting -= 1;
            state.save(&record)?;
        }
        let is_fetching = record.state == JobState::Fetching;
        let is_ended = record.state.is_ended();
        let settings = match server.settings(&record.options) {
            Ok(settings) => server.with_fallback(settings, &mut record),
            Err(error) => {
                if !is_ended {
                    broken.push((id.clone(), JobFailure::from(&error)));
                }
                server.settings(&Map::new())?
            }
        };
        if !is_ended && !is_fetching && recording.is_none() {
            let failure = JobFailure::missing("its recording is gone from the state folder");
            broken.push((id.clone(), failure));
        }
        // A job that was accepted before is not refused.
        let mut job = Job::new(record, settings, recording, true);
        job.has_finished_chunks = server.jobs.state().journal(&id).exists();
        let _ = server.jobs.add(job, false);
        if is_fetching {
            fetching.push(id);
        }
    }
    broken.into_iter().for_each(|(id, failure)| server.jobs.fail(&id, failure));
    if waiting > 0 {
        note(format!("{waiting} jobs of an earlier run go on"));
    }
    Ok(fetching)
}
