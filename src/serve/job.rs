//! One job in the memory of the server, or one request that waits for its answer, which is run like a job.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::options::JobSettings;
use super::record::{JobFailure, JobId, JobRecord, JobResult, JobState, now};
use super::state_dir::StateDir;
use crate::export::{ExportOptions, Format, JsonStyle};
use crate::plan::{InputName, InputSource, PlannedInput};
use crate::transcript::{Segment, Transcript};

/// See the module.
pub struct Job {
    pub record: JobRecord,
    pub settings: JobSettings,
    /// The recording; none while it is being downloaded.
    pub recording: Option<PathBuf>,
    /// It is stored and outlives the server; a request is not.
    pub is_kept: bool,
    /// The run is asked to give it back.
    pub is_handed_back: bool,
    /// It has finished chunks of an earlier run.
    pub has_finished_chunks: bool,
    /// The run has it, started or not.
    pub is_handed_over: bool,
    /// To be removed once the run lets go of it.
    pub is_removed: bool,
    /// Seconds of audio that are done, and that are known of.
    pub progress: (f64, f64),
    pub language: Option<String>,
    /// The text so far of a job that runs.
    pub segments: Vec<Segment>,
    /// The transcript of a request.
    pub transcript: Option<Arc<Transcript>>,
    /// Counts what happens, for those who wait for something to happen.
    changes: watch::Sender<u64>,
}

impl Job {
    pub fn new(record: JobRecord, settings: JobSettings, recording: Option<PathBuf>, is_kept: bool) -> Self {
        Self {
            record,
            settings,
            recording,
            is_kept,
            is_handed_back: false,
            has_finished_chunks: false,
            is_handed_over: false,
            is_removed: false,
            progress: (0.0, 0.0),
            language: None,
            segments: Vec::new(),
            transcript: None,
            changes: watch::Sender::new(0),
        }
    }

    pub fn id(&self) -> &JobId {
        &self.record.id
    }

    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Returns the name of the model that it wants.
    pub fn model(&self) -> &str {
        &self.settings.input.model.name
    }

    /// Returns what the run calls it.
    pub fn input_name(&self) -> InputName {
        InputName::new(self.record.source.name(), Some(self.record.id.as_str().to_owned()))
    }

    /// Returns the input to transcribe, once its recording is there.
    pub fn planned(&self, state: &StateDir) -> Option<PlannedInput> {
        let transcript = self.is_kept.then(|| state.transcript(self.id()));
        let mut input = PlannedInput::new(InputSource::File(self.recording.clone()?));
        input.id = Some(self.record.id.as_str().to_owned());
        input.title = Some(self.record.source.name());
        input.settings = Some(Arc::clone(&self.settings.input));
        // The result is read again for other formats, so it has everything.
        let export = ExportOptions { json_style: JsonStyle::Full, ..self.settings.export.clone() };
        input.export = Some(Arc::new(export));
        input.outputs = transcript.iter().map(|path| (Format::Json, path.clone())).collect();
        input.requested = transcript.into_iter().collect();
        input.waveform = self.is_kept.then(|| state.waveform(self.id()));
        input.journal = self.is_kept.then(|| state.journal(self.id()));
        Some(input)
    }

    /// Ends it. Nothing happens to a job that has ended already.
    pub fn end(&mut self, state: JobState, failure: Option<JobFailure>, result: Option<JobResult>) -> bool {
        if self.record.state.is_ended() {
            return false;
        }
        self.record.state = state;
        self.record.failure = failure;
        self.record.result = result;
        self.record.finished = Some(now());
        self.segments = Vec::new();
        self.notify();
        true
    }
}
