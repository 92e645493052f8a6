//! Does the job: finds the models, then all inputs go through them.
//!
//! The models of one session may serve many runs. One input that fails does not keep the others from being done; what concerns them all ends the job.

use std::path::PathBuf;
use std::time::Instant;

use super::Event;
use super::models::{Models, Which};
use super::partial;
use super::scheduler::Conductor;
use super::vad_report::VoiceReport;
use crate::cancel::CancelToken;
use crate::device::memory::Memory;
use crate::device::{self, DeviceRequest, Selected};
use crate::engine::Stats;
use crate::error::{Error, Result};
use crate::models::cache::CacheStats;
use crate::plan::Job;
use crate::plan::{Plan, PlannedInput, plan};
use crate::store::journal::Journal;
use crate::transcript::Coverage;

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
    pub cache: CacheStats,
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
    let mut summary = Summary::default();
    let todo = announce(plan(job, false)?, &mut summary, on_event);
    if todo.is_empty() {
        return Ok(summary);
    }
    let mut session = Session::of(job, &todo).map_err(|error| vec![error])?;
    let outcome = session.work(job, todo, &mut summary, cancel, on_event);
    session.close(on_event);
    outcome.map(|()| summary).map_err(|error| vec![error])
}

/// Tells of a plan, and returns what is to be done of it.
pub fn announce(plan: Plan, summary: &mut Summary, on_event: &mut dyn FnMut(Event<'_>)) -> Vec<PlannedInput> {
    let Plan { items, failures, notes } = plan;
    items.iter().for_each(|item| on_event(Event::Planned { item }));
    notes.iter().for_each(|(input, text)| on_event(Event::Noted { input, text }));
    for error in &failures {
        on_event(Event::Failed { input: error.input_name().unwrap_or_default(), error });
    }
    summary.failures.extend(failures);
    let (done, todo): (Vec<PlannedInput>, Vec<PlannedInput>) =
        items.into_iter().partition(|item| item.is_done);
    for item in &done {
        partial::sweep(&item.asked);
        item.journal.iter().for_each(|path| Journal::sweep(path));
        on_event(Event::Skipped { input: &item.name(), why: &item.why_done });
        summary.skipped += 1;
    }
    todo
}

/// Recordings, and the folders between the one that was named and each of them.
pub type Known = Vec<(PathBuf, PathBuf)>;

/// Where more inputs come from while others are in work: asked several times a second, and told how many leases of
/// models there are.
pub type Feed<'a> = &'a mut dyn FnMut(usize) -> Known;

/// Models that stay from one run to the next, and what else outlives a run.
pub struct Session {
    models: Models,
    report: Option<VoiceReport>,
}

impl Session {
    /// Nothing is loaded yet.
    pub fn new(job: &Job) -> Result<Self> {
        Self::of(job, &[])
    }

    fn of(job: &Job, items: &[PlannedInput]) -> Result<Self> {
        let report = job.voice_report.as_deref().map(VoiceReport::create).transpose()?;
        Ok(Self { models: models(job, items)?, report })
    }

    /// Where models compute, if nothing speaks against it.
    pub fn device(&self) -> &Selected {
        self.models.device()
    }

    /// Finds the model of the job, downloaded if need be, so that it is known that it is there.
    pub fn find(
        &mut self,
        job: &Job,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        self.models.find(&job.settings.model, cancel, on_event).map(drop)
    }

    fn work(
        &mut self,
        job: &Job,
        todo: Vec<PlannedInput>,
        summary: &mut Summary,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        let items = find_all(job, todo, &mut self.models, cancel, on_event)?;
        let started = Instant::now();
        let conductor = Conductor::new(job, cancel, &mut self.models, summary, on_event);
        conductor.reporting(self.report.as_mut()).run(items)?;
        summary.seconds += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Does what comes, until nothing is left. What is wrong with the plan of some costs only those.
    pub fn serve(
        &mut self,
        job: &Job,
        feed: Feed<'_>,
        summary: &mut Summary,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<()> {
        let started = Instant::now();
        let conductor = Conductor::new(job, cancel, &mut self.models, summary, on_event);
        let outcome = conductor.reporting(self.report.as_mut()).fed(feed).run(Vec::new());
        summary.seconds += started.elapsed().as_secs_f64();
        outcome
    }

    /// To be called from time to time while nothing is in work: closes what was idle for too long.
    pub fn tidy(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        self.models.tidy(on_event);
    }

    /// Closes all models.
    pub fn close(mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        self.models.close(on_event);
    }
}

/// None is loaded yet, but there will be places for what the inputs ask for.
fn models(job: &Job, items: &[PlannedInput]) -> Result<Models> {
    let settings = items.iter().map(|item| item.settings.as_ref().unwrap_or(&job.settings));
    let settings = settings.chain(items.is_empty().then_some(&job.settings));
    let most = settings.fold((1, 1), |(candidates, beams), settings| {
        let decode = &settings.decode;
        (decode.candidates().max(candidates), decode.beams_at_once().max(beams))
    });
    let in_numbers = |device: Selected| device.computing_in(job.models.precision);
    let beside = device::select_beside(&job.beside)?.into_iter().map(in_numbers).collect::<Result<_>>()?;
    let devices = (in_numbers(device::select(job.device)?)?, beside);
    Ok(Models::new(devices, job.device == DeviceRequest::Auto, job.models, most))
}

/// Each input with its model, before any is loaded.
fn find_all(
    job: &Job,
    items: Vec<PlannedInput>,
    models: &mut Models,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<(PlannedInput, Which)>> {
    let find = |item: PlannedInput| {
        let settings = item.settings.as_ref().unwrap_or(&job.settings);
        let which = models.find(&settings.model, cancel, on_event)?;
        Ok((item, which))
    };
    items.into_iter().map(find).collect()
}
