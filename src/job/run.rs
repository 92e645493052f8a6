//! Does the job: finds and loads the model once, then all inputs go through it.
//!
//! One input that fails does not keep the others from being done; what concerns them all ends the job.

use std::sync::Arc;
use std::time::Instant;

use super::conduct::Conductor;
use super::journal::Journal;
use super::partial;
use super::plan::{Item, Plan, plan};
use super::voice_report::VoiceReport;
use super::work::Basis;
use super::{AUTO, Event, Job, ModelRequest};
use crate::backend::checkpoint::Checkpoint;
use crate::backend::hub::Download;
use crate::backend::{Slots, load, source};
use crate::cancel::CancelToken;
use crate::device::memory::Memory;
use crate::device::{self, Selected};
use crate::engine::{Engine, Stats};
use crate::error::{Error, Result};
use crate::probe;
use crate::transcript::{Coverage, ModelIdentity};

/// What became of the inputs.
#[derive(Debug, Default)]
pub struct Summary {
    pub done: usize,
    pub skipped: usize,
    /// Of the inputs that were given up; each was told in an event.
    pub failures: Vec<Error>,
    /// Of inputs that were done, but not as well as was asked.
    pub missed: Vec<Error>,
    /// Of the inputs that were done.
    pub audio_seconds: f64,
    pub coverage: Coverage,
    /// From the start of the first input to the end of the last.
    pub seconds: f64,
    /// None if no model was needed.
    pub stats: Option<Stats>,
    /// Bytes held at most, by this process and on the device.
    pub peak_host: u64,
    pub peak_device: u64,
}

impl Summary {
    pub fn peak(&mut self, memory: &Memory) {
        self.peak_host = self.peak_host.max(memory.host.peak);
        self.peak_device = self.peak_device.max(memory.device.map_or(0, |device| device.peak));
    }
}

/// Does all of it. The error is what ended the job before its time, several faults if the plan is wrong.
pub fn run(
    job: &Job,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Summary, Vec<Error>> {
    let Plan { items, failures, notes } = plan(job, false)?;
    notes.iter().for_each(|(input, text)| on_event(Event::Planned { input, text }));
    failures.iter().for_each(|error| on_event(Event::Failed { error }));
    let mut summary = Summary { failures, ..Summary::default() };
    let (done, todo): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| item.is_done);
    for item in &done {
        partial::sweep(&item.asked);
        item.journal.iter().for_each(|path| Journal::sweep(path));
        on_event(Event::Skipped { input: &item.name(), why: &item.why_done });
        summary.skipped += 1;
    }
    if todo.is_empty() {
        return Ok(summary);
    }
    let report =
        job.voice_report.as_deref().map(VoiceReport::create).transpose().map_err(|error| vec![error])?;
    let (engine, identity, device) = prepare(job, cancel, on_event).map_err(|error| vec![error])?;
    let engine = Arc::new(engine);
    let started = Instant::now();
    let basis = Basis::new(job, &job.settings, &identity, &device);
    let conductor = Conductor::new(job, cancel, &engine, &identity, basis, &mut summary, on_event);
    conductor.reporting(report).run(todo).map_err(|error| vec![error])?;
    summary.seconds = started.elapsed().as_secs_f64();
    summary.stats = Some(engine.stats());
    Ok(summary)
}

/// Finds the model, loads it and starts its engine.
fn prepare(
    job: &Job,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<(Engine, ModelIdentity, String)> {
    let device = device::select(job.device)?;
    let checkpoint = find_model(&job.settings.model, &device, cancel, on_event)?;
    cancel.check()?;
    on_event(Event::Loading { model: &checkpoint.name, device: &device.name });
    probe::reached("load", cancel);
    let started = Instant::now();
    let revision = Some(checkpoint.identity.clone());
    let identity = ModelIdentity { name: checkpoint.name.clone(), revision };
    let (candidates, beams) = (job.settings.decode.candidates(), job.settings.decode.beams_at_once());
    let model = load(checkpoint, &device, Slots { windows: job.batch_size, candidates, beams })?;
    let engine = Engine::start(model.backend, model.tokenizer, job.release, cancel)?;
    let seconds = started.elapsed().as_secs_f64();
    on_event(Event::Loaded { identity: &identity, device: &device.name, seconds });
    Ok((engine, identity, device.name))
}

/// The checkpoint that was asked for, downloaded if need be.
pub fn find_model(
    request: &ModelRequest,
    device: &Selected,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Checkpoint> {
    let name = match request.name.as_str() {
        AUTO if device.is_accelerator() => "large-v3-turbo",
        AUTO => "base",
        name => name,
    };
    let mut on_download = |download: Download<'_>| on_event(Event::Download(download));
    source::find(name, request.revision.as_deref(), &request.hub, cancel, &mut on_download)
}
