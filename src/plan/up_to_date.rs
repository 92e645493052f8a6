//! What of the inputs is done already, and what must be done again or left alone.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::{InputSource, PlannedInput};
use super::{ModelRequest, PlanRequest, Settings};
use crate::cancel::CancelToken;
use crate::device::{self, DeviceRequest};
use crate::export::{ExportOptions, Format};
use crate::models::source;
use crate::store::fingerprint::RunFingerprint;
use crate::store::ledger::{CurrentProvenance, LedgerReader, OutputState};
use crate::transcript::ModelIdentity;

/// Why an input is skipped whose outputs are all as they should be.
const DONE: &str = "already done; `--overwrite` does it again";

/// Looks at the outputs that are there, and leaves in each input those that are to be written. Told are the inputs of
/// which some are made again or left alone, and why.
pub fn leave_out(items: &mut [PlannedInput], request: &PlanRequest) -> Vec<(String, String)> {
    let names = ModelNames::new(request.device);
    let mut knowledge = Knowledge {
        request,
        names,
        records: LedgerReader::default(),
        models: HashMap::new(),
        known: HashMap::new(),
    };
    let mut notes = Vec::new();
    for item in items.iter_mut().filter(|item| !item.outputs.is_empty()) {
        knowledge.look_at(item, &mut notes);
    }
    notes
}

/// The same where nothing tells how outputs were made: what is there is left alone.
pub fn leave_out_files(items: &mut [PlannedInput]) {
    for item in items.iter_mut().filter(|item| !item.outputs.is_empty()) {
        item.outputs.retain(|(_, path)| !path.is_file());
        item.is_done = item.outputs.is_empty();
        item.why_done = DONE.into();
    }
}

struct Knowledge<'a> {
    request: &'a PlanRequest,
    names: ModelNames,
    records: LedgerReader,
    /// By the settings.
    models: HashMap<*const Settings, Model>,
    /// What names and revisions of models stand for on this machine.
    known: HashMap<(String, Option<String>), Option<String>>,
}

/// A model by its name, and what that is if this machine knows; and all options, in whatever words.
#[derive(Clone)]
struct Model {
    name: String,
    identity: Option<String>,
    options: String,
}

impl Knowledge<'_> {
    fn look_at(&mut self, item: &mut PlannedInput, notes: &mut Vec<(String, String)>) {
        // Most often there is nothing yet.
        if !item.outputs.iter().any(|(_, path)| path.is_file()) {
            return;
        }
        let states = self.states(item);
        let mut todo = states.iter();
        item.outputs
            .retain(|_| matches!(todo.next(), Some((_, OutputState::Missing | OutputState::Outdated(_)))));
        item.is_done = item.outputs.is_empty();
        let outdated = states.iter().find_map(|(path, state)| match state {
            OutputState::Outdated(why) => Some((path, *why)),
            _ => None,
        });
        let foreign = states.iter().find_map(|(path, state)| match state {
            OutputState::Foreign(why) => Some((path, *why)),
            _ => None,
        });
        let kept = foreign
            .map(|(path, why)| format!("`{path}` is left as it is: {why}; `--overwrite` makes it anew"));
        if item.is_done {
            item.why_done = kept.unwrap_or_else(|| DONE.into());
            return;
        }
        let again = outdated.map(|(path, why)| format!("`{path}` is made again: {why}"));
        notes.extend(kept.into_iter().chain(again).map(|text| (item.name(), text)));
    }

    fn states(&mut self, item: &PlannedInput) -> Vec<(String, OutputState)> {
        let export = &self.request.export;
        let settings = item.settings.as_ref().unwrap_or(&self.request.settings);
        let model = self.model(settings);
        let state = |(format, path): &(Format, std::path::PathBuf)| {
            let state = match &item.source {
                InputSource::Stdin if path.is_file() => {
                    OutputState::Foreign("standard input is not looked into")
                }
                InputSource::Stdin => OutputState::Missing,
                InputSource::File(input) => state(&mut self.records, path, *format, export, &model, input),
            };
            (path.display().to_string(), state)
        };
        item.outputs.iter().map(state).collect()
    }

    fn model(&mut self, settings: &Arc<Settings>) -> Model {
        let (request, names, known) = (self.request, &self.names, &mut self.known);
        let model = self.models.entry(Arc::as_ptr(settings)).or_insert_with(|| {
            let wanted = &settings.model;
            let name = names.of(wanted);
            let key = (name.clone(), wanted.revision.clone());
            let identity = known.entry(key).or_insert_with(|| cached(wanted, &name)).clone();
            let unknown = ModelIdentity { name: name.clone(), revision: None };
            let options = RunFingerprint::new(request, settings, &unknown, "").options().to_owned();
            Model { name, identity, options }
        });
        model.clone()
    }
}

fn state(
    records: &mut LedgerReader,
    path: &Path,
    format: Format,
    export: &ExportOptions,
    model: &Model,
    input: &Path,
) -> OutputState {
    let Model { name, identity, options } = model;
    records.state(
        path,
        format,
        export,
        &CurrentProvenance { name, model: identity.as_deref(), options, input },
    )
}

/// What names of models stand for on a device, which is looked at once and only if it matters.
pub struct ModelNames {
    device: DeviceRequest,
    has_accelerator: OnceCell<bool>,
}

impl ModelNames {
    pub fn new(device: DeviceRequest) -> Self {
        Self { device, has_accelerator: OnceCell::new() }
    }

    pub fn of(&self, request: &ModelRequest) -> String {
        // That no device can be had is told by whoever needs it.
        let select = || device::select(self.device).is_ok_and(|device| device.is_accelerator());
        request.name_on(|| *self.has_accelerator.get_or_init(select)).to_owned()
    }
}

/// Which weights the name stands for, if this machine knows without asking anybody.
fn cached(request: &ModelRequest, name: &str) -> Option<String> {
    let mut hub = request.hub.clone();
    hub.offline = true;
    let found = source::find(name, request.revision.as_deref(), &hub, &CancelToken::new(), &mut |_| ());
    found.ok().map(|checkpoint| checkpoint.identity)
}
