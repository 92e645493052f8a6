//! Which outputs of the inputs are up to date, and which are to be written again or left alone.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{InputName, InputSource, PlannedInput, UNDETERMINED};
use super::{InputSettings, ModelRequest, PlanRequest};
use crate::cancel::CancelToken;
use crate::decode::Language;
use crate::device::{self, DeviceRequest};
use crate::export::Format;
use crate::models::source;
use crate::store::ledger::{CurrentProvenance, LedgerReader, OutputState};

/// Why an input is skipped whose outputs are all up to date.
const ALREADY_DONE: &str = "already done; `--overwrite` does it again";

/// Removes outputs that need not be written from each input. Returns notes about inputs of which some outputs are
/// written again or left alone: the input, and why.
pub fn leave_out(items: &mut [PlannedInput], request: &PlanRequest) -> Vec<(InputName, String)> {
    let mut checker = OutputChecker::new(request);
    let mut notes = Vec::new();
    for item in items.iter_mut().filter(|item| !item.outputs.is_empty()) {
        if item.is_named_by_language() {
            match checker.recorded_language(item) {
                Some(language) => item.name_by_language(language),
                None => continue,
            }
        }
        checker.check(item, &mut notes);
    }
    notes
}

/// The same for an input whose outputs have just been named after its language.
pub fn leave_out_named(item: &mut PlannedInput, request: &PlanRequest) -> Vec<(InputName, String)> {
    let mut notes = Vec::new();
    OutputChecker::new(request).check(item, &mut notes);
    if item.is_done && item.skip_reason != ALREADY_DONE {
        notes.push((item.name(), item.skip_reason.clone()));
    }
    notes
}

/// The same where no ledger is kept: outputs that exist are left alone.
pub fn leave_out_files(items: &mut [PlannedInput]) {
    for item in items.iter_mut().filter(|item| !item.outputs.is_empty()) {
        item.outputs.retain(|(_, path)| !path.is_file());
        item.is_done = item.outputs.is_empty();
        item.skip_reason = ALREADY_DONE.into();
    }
}

struct OutputChecker<'a> {
    request: &'a PlanRequest,
    model_names: ModelNames,
    ledgers: LedgerReader,
    /// By the address of the settings.
    requests: HashMap<*const InputSettings, RequestedText>,
    /// The checkpoints that names and revisions of models stand for on this machine.
    checkpoints: HashMap<(String, Option<String>), Option<String>>,
}

/// The model and the options that decide the text of an input.
#[derive(Clone)]
struct RequestedText {
    model: String,
    /// None if it is not on this machine.
    checkpoint: Option<String>,
    options: String,
}

impl<'a> OutputChecker<'a> {
    fn new(request: &'a PlanRequest) -> Self {
        Self {
            request,
            model_names: ModelNames::new(request.device),
            ledgers: LedgerReader::default(),
            requests: HashMap::new(),
            checkpoints: HashMap::new(),
        }
    }

    /// Returns the language that outputs of this input have in their names: what is up to date, or else was edited
    /// since, would get the same name again.
    fn recorded_language(&mut self, item: &PlannedInput) -> Option<&'static str> {
        let mut edited = None;
        for language in Language::all().map(Language::code).chain([UNDETERMINED]) {
            if !item.patterns.iter().any(|(_, pattern)| pattern.path(language).is_file()) {
                continue;
            }
            let mut named = item.clone();
            named.name_by_language(language);
            let states = self.states(&named);
            if states.iter().any(|(_, state)| *state == OutputState::UpToDate) {
                return Some(language);
            }
            let is_edited = |(_, state): &(String, OutputState)| *state == OutputState::EDITED;
            if states.iter().any(is_edited) {
                edited = edited.or(Some(language));
            }
        }
        edited
    }

    fn check(&mut self, item: &mut PlannedInput, notes: &mut Vec<(InputName, String)>) {
        // The common case, which needs no ledger and no model.
        if !item.outputs.iter().any(|(_, path)| path.is_file()) {
            return;
        }
        let states = self.states(item);
        let mut state = states.iter();
        item.outputs
            .retain(|_| matches!(state.next(), Some((_, OutputState::Missing | OutputState::Outdated(_)))));
        item.is_done = item.outputs.is_empty();
        let outdated = states.iter().find_map(|(path, state)| match state {
            OutputState::Outdated(why) => Some(format!("`{path}` is outdated and will be replaced: {why}")),
            _ => None,
        });
        let foreign = states.iter().find_map(|(path, state)| match state {
            OutputState::Foreign(why) => Some(format!("`{path}` is kept: {why}; `--overwrite` replaces it")),
            _ => None,
        });
        if item.is_done {
            item.skip_reason = foreign.unwrap_or_else(|| ALREADY_DONE.into());
            return;
        }
        notes.extend(foreign.into_iter().chain(outdated).map(|text| (item.name(), text)));
    }

    fn states(&mut self, item: &PlannedInput) -> Vec<(String, OutputState)> {
        let settings = item.settings.as_ref().unwrap_or(&self.request.settings);
        let RequestedText { model, checkpoint, options } = self.requested_text(settings);
        let state = |(format, path): &(Format, PathBuf)| {
            let state = match &item.source {
                InputSource::Stdin if path.is_file() => {
                    OutputState::Foreign("standard input cannot be compared")
                }
                InputSource::Stdin => OutputState::Missing,
                InputSource::File(input) => {
                    let (name, model) = (model.as_str(), checkpoint.as_deref());
                    let current = CurrentProvenance { name, model, options: &options, input };
                    self.ledgers.state(path, *format, &self.request.export, &current)
                }
            };
            (path.display().to_string(), state)
        };
        item.outputs.iter().map(state).collect()
    }

    fn requested_text(&mut self, settings: &Arc<InputSettings>) -> RequestedText {
        let (names, checkpoints) = (&self.model_names, &mut self.checkpoints);
        let text = self.requests.entry(Arc::as_ptr(settings)).or_insert_with(|| {
            let model = names.resolve(&settings.model);
            let key = (model.clone(), settings.model.revision.clone());
            let checkpoint =
                checkpoints.entry(key).or_insert_with(|| local_checkpoint(&settings.model, &model)).clone();
            let options = settings.text_options().to_string();
            RequestedText { model, checkpoint, options }
        });
        text.clone()
    }
}

/// Resolves names of models on a device, which is selected once and only if a name depends on it.
pub struct ModelNames {
    device: DeviceRequest,
    has_accelerator: OnceCell<bool>,
}

impl ModelNames {
    pub fn new(device: DeviceRequest) -> Self {
        Self { device, has_accelerator: OnceCell::new() }
    }

    /// Returns the name of a requested model, with `auto` resolved.
    pub fn resolve(&self, request: &ModelRequest) -> String {
        // A device that cannot be selected is reported when it is needed.
        let select = || device::select(self.device).is_ok_and(|device| device.is_accelerator());
        request.name_on(|| *self.has_accelerator.get_or_init(select)).to_owned()
    }
}

/// Returns the checkpoint that the name stands for, if this machine knows without the network.
fn local_checkpoint(request: &ModelRequest, name: &str) -> Option<String> {
    let mut hub = request.hub.clone();
    hub.offline = true;
    let found = source::find(name, request.revision.as_deref(), &hub, &CancelToken::new(), &mut |_| ());
    found.ok().map(|checkpoint| checkpoint.identity)
}
