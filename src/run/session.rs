//! A run from its request to its end, and the models that may serve several runs.

use std::sync::Arc;

use super::models::{ModelId, ModelSet};
use super::partial;
use super::scheduler::Scheduler;
use super::speakers::SpeakerSetup;
use super::vad_report::VadReport;
use super::{RunContext, RunEvent, RunRequest};
use crate::device::{self, DeviceRequest, SelectedDevice};
use crate::error::{Error, Result};
use crate::plan::{DiscoveredFile, Plan, PlanRequest, PlannedInput, UnplannedInput, plan};
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

/// Supplies further inputs while others are in flight: called several times a second with the number of model leases.
pub type InputFeed<'a> = &'a mut dyn FnMut(usize) -> Vec<DiscoveredFile>;

/// Models that stay loaded from one run to the next, and the voice activity report.
pub struct Session {
    models: ModelSet,
    vad_report: Option<VadReport>,
    /// Prepared when the first inputs are transcribed.
    speakers: Option<Arc<SpeakerSetup>>,
}

impl Session {
    /// Opens a session for inputs that are not known yet. Loads nothing.
    pub fn new(request: &RunRequest) -> Result<Self> {
        Self::for_items(request, &[])
    }

    fn for_items(request: &RunRequest, items: &[PlannedInput]) -> Result<Self> {
        let vad_report = request.vad_report.as_deref().map(VadReport::create).transpose()?;
        Ok(Self { models: model_set(&request.plan, items)?, vad_report, speakers: None })
    }

    /// Returns the device that models are loaded on first.
    pub fn device(&self) -> &SelectedDevice {
        self.models.device()
    }

    /// Finds the request's default model and downloads it if needed, without loading it.
    pub fn find_model(&mut self, request: &RunRequest, context: RunContext<'_>) -> Result<()> {
        self.models.find(&request.plan.settings.model, context).map(drop)
    }

    /// Transcribes planned inputs. All models are found before the first input starts.
    fn transcribe(
        &mut self,
        request: &RunRequest,
        todo: Vec<PlannedInput>,
        context: RunContext<'_>,
    ) -> Result<()> {
        self.prepare_speakers(request, context)?;
        let models = &mut self.models;
        let with_model = |item: PlannedInput| -> Result<(PlannedInput, ModelId)> {
            let settings = item.settings.as_ref().unwrap_or(&request.plan.settings);
            let model = models.find(&settings.model, context)?;
            Ok((item, model))
        };
        let items = todo.into_iter().map(with_model).collect::<Result<Vec<_>>>()?;
        let scheduler = Scheduler::new(request, context, &mut self.models, self.vad_report.as_mut());
        scheduler.with_speakers(self.speakers.clone()).run(items)
    }

    /// Loads what speakers are told apart with, if that is wanted.
    fn prepare_speakers(&mut self, request: &RunRequest, context: RunContext<'_>) -> Result<()> {
        if let Some(options) = request.plan.speakers.as_ref().filter(|_| self.speakers.is_none()) {
            self.speakers = Some(Arc::new(SpeakerSetup::prepare(options, context.cancel)?));
        }
        Ok(())
    }

    /// Transcribes what the feed supplies until nothing is left. A fault in the plan of some inputs fails only those.
    pub fn transcribe_feed(
        &mut self,
        request: &RunRequest,
        feed: InputFeed<'_>,
        context: RunContext<'_>,
    ) -> Result<()> {
        self.prepare_speakers(request, context)?;
        let scheduler = Scheduler::new(request, context, &mut self.models, self.vad_report.as_mut());
        scheduler.with_speakers(self.speakers.clone()).with_feed(feed).run(Vec::new())
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
