//! Finds out what a run would do, without doing any of it.

use super::{InputSettings, PlanRequest};
use super::{ModelNames, Plan, PlannedInput, plan};
use crate::device;
use crate::error::Error;
use crate::models::{ModelEstimate, SlotRequest, estimate};

/// See the module.
#[derive(Debug)]
pub struct DryRun {
    pub plan: Plan,
    /// As `--device` names it.
    pub device: String,
    /// The models of the inputs that are not done, in the order of the inputs.
    pub models: Vec<PlannedModel>,
}

/// A model that would be loaded.
#[derive(Debug)]
pub struct PlannedModel {
    pub name: String,
    pub estimate: ModelEstimate,
}

/// Plans a run without downloading or writing anything. Reports all faults at once.
pub fn dry_run(request: &PlanRequest) -> Result<DryRun, Vec<Error>> {
    let plan = plan(request, true)?;
    let device =
        device::select(request.device).and_then(|device| device.with_precision(request.models.precision));
    let device = device.map_err(|error| vec![error])?;
    let (mut models, mut faults): (Vec<PlannedModel>, Vec<Error>) = Default::default();
    let (model_names, mut names) = (ModelNames::new(request.device), Vec::new());
    for settings in plan.items.iter().filter(|item| !item.is_done).map(|item| settings_of(item, request)) {
        let (model, decode) = (&settings.model, &settings.decode);
        let name = model_names.resolve(model);
        if names.contains(&name) {
            continue;
        }
        names.push(name.clone());
        let (candidates, beams) = (decode.candidates(), decode.beams_at_once());
        let slots = SlotRequest { windows: request.models.batch_size, candidates, beams };
        match estimate(&name, model.revision.as_deref(), &model.hub, &device, slots) {
            Ok(estimate) => models.push(PlannedModel { name, estimate }),
            Err(fault) => faults.push(fault),
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(DryRun { plan, device: device.label(), models })
}

fn settings_of<'a>(item: &'a PlannedInput, request: &'a PlanRequest) -> &'a InputSettings {
    item.settings.as_deref().unwrap_or(&request.settings)
}
