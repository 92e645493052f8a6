//! Does the job: finds the models, then all inputs go through them.
//!
//! One input that fails does not keep the others from being done; what concerns them all ends the job.

use std::time::Instant;

use super::conduct::Conductor;
use super::journal::Journal;
use super::models::{Models, Which};
use super::partial;
use super::plan::{Item, Plan, plan};
use super::voice_report::VoiceReport;
use super::{Event, Job};
use crate::backend::cache::CacheStats;
use crate::cancel::CancelToken;
use crate::device;
use crate::device::memory::Memory;
use crate::engine::Stats;
use crate::error::{Error, Result};
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
    let Plan { items, failures, notes } = plan(job, false)?;
    items.iter().for_each(|item| on_event(Event::Planned { item }));
    notes.iter().for_each(|(input, text)| on_event(Event::Noted { input, text }));
    for error in &failures {
        on_event(Event::Failed { input: error.input_name().unwrap_or_default(), error });
    }
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
    let mut models = models(job, &todo).map_err(|error| vec![error])?;
    let outcome = find_all(job, todo, &mut models, cancel, on_event).and_then(|items| {
        let started = Instant::now();
        let conductor = Conductor::new(job, cancel, &mut models, &mut summary, on_event);
        conductor.reporting(report).run(items)?;
        summary.seconds = started.elapsed().as_secs_f64();
        Ok(())
    });
    models.close(on_event);
    outcome.map(|()| summary).map_err(|error| vec![error])
}

/// None is loaded yet, but there will be places for what the inputs ask for.
fn models(job: &Job, items: &[Item]) -> Result<Models> {
    let settings = items.iter().map(|item| item.settings.as_ref().unwrap_or(&job.settings));
    let most = settings.fold((1, 1), |(candidates, beams), settings| {
        let decode = &settings.decode;
        (decode.candidates().max(candidates), decode.beams_at_once().max(beams))
    });
    Ok(Models::new((job.device, device::select(job.device)?), job.models, most))
}

/// Each input with its model, before any is loaded.
fn find_all(
    job: &Job,
    items: Vec<Item>,
    models: &mut Models,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<(Item, Which)>> {
    let find = |item: Item| {
        let settings = item.settings.as_ref().unwrap_or(&job.settings);
        let which = models.find(&settings.model, cancel, on_event)?;
        Ok((item, which))
    };
    items.into_iter().map(find).collect()
}
