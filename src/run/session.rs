//! A run from its request to its end, and the models that may serve several runs.

use std::sync::Arc;

use super::feed::Feed;
use super::models::{ModelId, ModelSet};
use super::partial;
use super::scheduler::Scheduler;
use super::speakers::SpeakerSetups;
use super::vad_report::VadReport;
use super::{RunContext, RunEvent, RunRequest};
use crate::device::{self, DeviceRequest, SelectedDevice};
use crate::error::{Error, Result};
use crate::plan::{ModelRequest, Plan, PlanRequest, PlannedInput, UnplannedInput, plan};
use crate::store::journal::Journal;

/// Plans and carries out a request. What became of each input is in the events; the error is what ended the whole run
/// early, or every fault of a plan that cannot be started.
pub fn run(request: &RunRequest, context: RunContext<'_>) -> Result<(), Vec<Error>> {
    let todo = announce_and_sweep(plan(&request.plan, false)?, context);
    if todo.is_empty() {
        return Ok(());
    }
    let mut session = Session::for_items(request, &todo).map_err(|error| vec![error])?;
    let outcome = session.transcribe(request, todo, context);
    session.close(context);
    outcome.map_err(|error| vec![error])
}

/// Announces a plan, removes what earlier runs left of inputs that are up to date, and returns the inputs left to do.
pub fn announce_and_sweep(plan: Plan, context: RunContext<'_>) -> Vec<PlannedInput> {
    let (todo, done) = announce(plan, context);
    for item in done {
        partial::sweep(&item.requested);
        item.journal.iter().for_each(|path| Journal::remove_if_written(path));
    }
    todo
}

/// Emits the events of a plan and returns the inputs that are left to do, and those that are up to date.
pub fn announce(plan: Plan, context: RunContext<'_>) -> (Vec<PlannedInput>, Vec<PlannedInput>) {
    let Plan { items, failures, notes } = plan;
    items.iter().for_each(|item| context.emit(RunEvent::Planned { item: Box::new(item.clone()) }));
    notes.into_iter().for_each(|(input, text)| context.emit(RunEvent::Note { input, text }));
    for UnplannedInput { name, error } in failures {
        context.emit(RunEvent::Failed { input: name, error: Arc::new(error) });
    }
    let (done, todo): (Vec<PlannedInput>, Vec<PlannedInput>) =
        items.into_iter().partition(|item| item.is_done);
    for item in &done {
        context.emit(RunEvent::Skipped { input: item.name(), why: item.skip_reason.clone() });
    }
    (todo, done)
}

/// Models that stay loaded from one run to the next, and the voice activity report.
pub struct Session {
    models: ModelSet,
    vad_report: Option<VadReport>,
    speakers: SpeakerSetups,
}

impl Session {
    /// Opens a session for inputs that are not known yet. Loads nothing.
    pub fn new(request: &RunRequest) -> Result<Self> {
        Self::for_items(request, &[])
    }

    fn for_items(request: &RunRequest, items: &[PlannedInput]) -> Result<Self> {
        let vad_report = request.vad_report.as_deref().map(VadReport::create).transpose()?;
        Ok(Self { models: model_set(&request.plan, items)?, vad_report, speakers: SpeakerSetups::default() })
    }

    /// Returns the device that models are loaded on first.
    pub fn device(&self) -> &SelectedDevice {
        self.models.device()
    }

    /// Finds a model and downloads it if needed, without loading it.
    pub fn find_model(&mut self, model: &ModelRequest, context: RunContext<'_>) -> Result<()> {
        self.models.find(model, context).map(drop)
    }

    /// Transcribes planned inputs. All models are found before the first input starts.
    fn transcribe(
        &mut self,
        request: &RunRequest,
        todo: Vec<PlannedInput>,
        context: RunContext<'_>,
    ) -> Result<()> {
        let models = &mut self.models;
        // What is wrong with the speaker networks or the known voices is found before anything starts.
        for item in &todo {
            let settings = item.settings.as_ref().unwrap_or(&request.plan.settings);
            self.speakers.prepare(settings.speakers.as_ref(), context.cancel)?;
        }
        let with_model = |item: PlannedInput| -> Result<(PlannedInput, ModelId)> {
            let settings = item.settings.as_ref().unwrap_or(&request.plan.settings);
            let model = models.find(&settings.model, context)?;
            Ok((item, model))
        };
        let items = todo.into_iter().map(with_model).collect::<Result<Vec<_>>>()?;
        self.scheduler(request, context).run(items)
    }

    fn scheduler<'a>(&'a mut self, request: &'a RunRequest, context: RunContext<'a>) -> Scheduler<'a> {
        Scheduler::new(request, context, &mut self.models, &mut self.speakers, self.vad_report.as_mut())
    }

    /// Transcribes what the feed supplies until nothing is left. A fault in the plan of some inputs fails only those.
    pub fn transcribe_feed<'a>(
        &'a mut self,
        request: &'a RunRequest,
        feed: Feed<'a>,
        context: RunContext<'a>,
    ) -> Result<()> {
        self.scheduler(request, context).with_feed(feed).run(Vec::new())
    }

    /// Closes models that were idle for too long; for callers to call now and then while no run is active.
    pub fn close_idle(&mut self, context: RunContext<'_>) {
        self.models.close_idle(context);
    }

    /// Closes all models.
    pub fn close(mut self, context: RunContext<'_>) {
        self.models.close(context);
    }
}

/// Builds an empty model set with slots for the most candidates and beams that any input asks for.
fn model_set(request: &PlanRequest, items: &[PlannedInput]) -> Result<ModelSet> {
    let settings = items.iter().map(|item| item.settings.as_ref().unwrap_or(&request.settings));
    let settings = settings.chain(items.is_empty().then_some(&request.settings));
    let most = settings.fold((1, 1), |(candidates, beams), settings| {
        let decode = &settings.decode;
        (decode.candidates().max(candidates), decode.beams_at_once().max(beams))
    });
    let with_dtype = |device: SelectedDevice| device.with_precision(request.models.precision);
    let beside =
        device::select_additional(&request.beside)?.into_iter().map(with_dtype).collect::<Result<_>>()?;
    let devices = (with_dtype(device::select(request.device)?)?, beside);
    Ok(ModelSet::new(devices, request.device == DeviceRequest::Auto, request.models, most))
}
