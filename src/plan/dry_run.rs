//! What would be done, without doing any of it.

use super::{ModelNames, Plan, PlannedInput, plan};
use super::{PlanRequest, Settings};
use crate::device;
use crate::error::Error;
use crate::models::{Estimate, Slots, estimate};

/// See the module.
#[derive(Debug)]
pub struct DryRun {
    pub plan: Plan,
    /// As the person would name it.
    pub device: String,
    /// Of the inputs that are not done, in their order.
    pub models: Vec<PlannedModel>,
}

/// A model that would be loaded.
#[derive(Debug)]
pub struct PlannedModel {
    pub name: String,
    pub estimate: Estimate,
}

/// Starts nothing, downloads nothing, writes nothing. All that is wrong is told at once.
pub fn rehearse(request: &PlanRequest) -> Result<DryRun, Vec<Error>> {
    let plan = plan(request, true)?;
    let device =
        device::select(request.device).and_then(|device| device.with_precision(request.models.precision));
    let device = device.map_err(|error| vec![error])?;
    let (mut models, mut faults): (Vec<PlannedModel>, Vec<Error>) = Default::default();
    let (asked_for, mut names) = (ModelNames::new(request.device), Vec::new());
    for settings in plan.items.iter().filter(|item| !item.is_done).map(|item| settings_of(item, request)) {
        let (model, decode) = (&settings.model, &settings.decode);
        let name = asked_for.of(model);
        if names.contains(&name) {
            continue;
        }
        names.push(name.clone());
        let (candidates, beams) = (decode.candidates(), decode.beams_at_once());
        let slots = Slots { windows: request.models.batch_size, candidates, beams };
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

fn settings_of<'a>(item: &'a PlannedInput, request: &'a PlanRequest) -> &'a Settings {
    item.settings.as_deref().unwrap_or(&request.settings)
}
