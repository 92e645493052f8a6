//! Requested inputs → plan: which input produces which outputs. Finds every fault that can be found before work starts.

mod conflicts;
mod discovery;
mod dry_run;
mod filter;
mod input_name;
mod list;
mod manifest;
mod output_folders;
mod output_names;
mod output_pattern;
mod request;
mod shard;
mod template;
mod unplanned;
mod up_to_date;
mod walk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;

pub use self::discovery::InputOptions;
pub use self::dry_run::{DryRun, PlannedModel, dry_run};
pub use self::filter::NameFilter;
pub use self::input_name::InputName;
pub use self::output_pattern::{OutputPattern, UNDETERMINED};
pub use self::request::{InputSettings, ModelRequest, PlanRequest};
pub use self::shard::{Shard, ShardRequest};
pub use self::template::Template;
pub use self::unplanned::UnplannedInput;
pub use self::up_to_date::{ModelNames, leave_out_files, leave_out_named};
pub use self::walk::{DiscoveredFile, FileListing, list_files};

use self::discovery::{Discovery, ResolvedInput, discover};
use crate::audio::{AudioOptions, probe_duration};
use crate::error::{Error, Result};
use crate::export::{ExportOptions, Format};

/// Which outputs to write, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// Text is printed if there are none.
    pub formats: Vec<Format>,
    /// Print the only output instead of writing files.
    pub to_stdout: bool,
    /// Beside each input if none.
    pub output_dir: Option<PathBuf>,
    /// Write all outputs into that folder itself, without the subfolders of the inputs.
    pub flat: bool,
    /// Names of the outputs; those of the inputs if none.
    pub template: Option<Template>,
    /// Add the language to the names of the inputs.
    pub language_in_name: bool,
    /// Replace outputs that exist.
    pub overwrite: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    Stdin,
    File(PathBuf),
}

impl InputSource {
    /// Returns the name for messages, as it was given.
    pub fn name(&self) -> String {
        match self {
            InputSource::Stdin => "-".into(),
            InputSource::File(path) => path.display().to_string(),
        }
    }
}

/// One input and its outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedInput {
    pub source: InputSource,
    /// What to call it instead of its path.
    pub title: Option<String>,
    /// Its id in a manifest; for one of several uses of a recording that have none, the line of the manifest.
    pub id: Option<String>,
    /// File and line of the manifest that names it.
    pub location: Option<String>,
    /// Its own settings; those of the request if none.
    pub settings: Option<Arc<InputSettings>>,
    /// How its outputs look; as those of the request if none.
    pub export: Option<Arc<ExportOptions>>,
    /// Seconds, as the file claims; probed only where it is needed.
    pub length: Option<f64>,
    /// The format to print to standard output instead of writing files.
    pub printed: Option<Format>,
    /// The files to write, without those that are up to date.
    pub outputs: Vec<(Format, PathBuf)>,
    /// The paths of all requested outputs, if they depend on the language and that is to be detected; the paths in
    /// `outputs` and `requested` hold a placeholder until then.
    pub patterns: Vec<(Format, OutputPattern)>,
    /// All files that were requested, including those that are up to date.
    pub requested: Vec<PathBuf>,
    /// When each of these was modified before it was planned; none if it did not exist.
    pub modified_before: Vec<(PathBuf, Option<SystemTime>)>,
    /// Where to keep the journal; none for inputs that cannot be read again.
    pub journal: Option<PathBuf>,
    /// How much memory must be free before it starts; as the request says if none.
    pub free_memory: Option<FreeMemory>,
    /// Where to keep the waveform and the seams for pages that are made later, if anywhere.
    pub waveform: Option<PathBuf>,
    /// All outputs are up to date.
    pub is_done: bool,
    /// Why it is skipped if it is done.
    pub skip_reason: String,
}

/// Bytes that must be free before an input starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeMemory {
    pub host: u64,
    pub device: u64,
}

#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which the inputs were named.
    pub items: Vec<PlannedInput>,
    /// Inputs that cannot be transcribed, while the others can.
    pub failures: Vec<UnplannedInput>,
    /// Notes for the user: the input, and the text.
    pub notes: Vec<(InputName, String)>,
}

impl PlannedInput {
    /// Plans an input without outputs, whose text is printed.
    pub fn new(source: InputSource) -> Self {
        PlannedInput {
            source,
            title: None,
            id: None,
            location: None,
            settings: None,
            export: None,
            length: None,
            printed: None,
            outputs: Vec::new(),
            patterns: Vec::new(),
            requested: Vec::new(),
            modified_before: Vec::new(),
            journal: None,
            free_memory: None,
            waveform: None,
            is_done: false,
            skip_reason: String::new(),
        }
    }

    /// Returns the name for messages, as it was given.
    pub fn name(&self) -> InputName {
        InputName::new(self.title.clone().unwrap_or_else(|| self.source.name()), self.id.clone())
    }

    fn probe(&mut self, audio: &AudioOptions) {
        if let InputSource::File(path) = &self.source {
            self.length = probe_duration(path, audio);
        }
    }
}

/// Plans all inputs and reports all faults at once. A dry run does not create output folders.
pub fn plan(request: &PlanRequest, is_dry_run: bool) -> Result<Plan, Vec<Error>> {
    let discovery = discover(&request.inputs, &request.discovery, Some(&request.settings));
    // The inputs of a watch come one by one; names must not depend on which come together.
    let is_fixed = request.discovery.discovered.is_empty();
    let Plan { mut items, mut failures, mut notes } =
        name_outputs(discovery, &request.outputs, Some(&request.settings), is_fixed)?;
    if let Some(shard) = request.shard {
        let count = items.len();
        probe(&mut items.iter_mut().collect::<Vec<_>>(), request);
        // Before outputs are checked: other machines may see other outputs.
        items = shard.select(items);
        notes.push((format!("--shard {shard}").into(), format!("{} of {count} inputs", items.len())));
    }
    if !request.outputs.overwrite {
        notes.extend(up_to_date::leave_out(&mut items, request));
    }
    if !is_dry_run {
        match output_folders::check(&mut items) {
            Ok(unwritable) => failures.extend(unwritable),
            Err(faults) => {
                return Err(failures.into_iter().map(|failed| failed.error).chain(faults).collect());
            }
        }
    }
    let todo = items.iter_mut().filter(|item| item.length.is_none() && (is_dry_run || !item.is_done));
    let mut todo: Vec<&mut PlannedInput> = todo.collect();
    // A single input needs no order.
    if todo.len() > 1 || is_dry_run {
        probe(&mut todo, request);
    }
    Ok(Plan { items, failures, notes })
}

/// Plans inputs that are not recordings.
pub fn plan_files(inputs: &[PathBuf], options: &OutputOptions) -> Result<Plan, Vec<Error>> {
    let mut plan = name_outputs(discover(inputs, &InputOptions::default(), None), options, None, true)?;
    if !options.overwrite {
        up_to_date::leave_out_files(&mut plan.items);
    }
    plan.failures.extend(output_folders::check(&mut plan.items)?);
    Ok(plan)
}

/// Returns the outputs that would be requested of a recording.
pub fn requested_outputs(file: &DiscoveredFile, request: &PlanRequest) -> Result<Vec<PathBuf>> {
    let input = ResolvedInput::new(InputSource::File(file.path.clone()), file.subfolder.clone());
    Ok(plan_input(&input, 1, &request.outputs, Some(&request.settings))?.requested)
}

fn probe(items: &mut [&mut PlannedInput], request: &PlanRequest) {
    items.par_iter_mut().for_each(|item| {
        let settings = item.settings.clone().unwrap_or_else(|| Arc::clone(&request.settings));
        item.probe(&settings.audio);
    });
}

/// Names the outputs of every input, whether or not they exist. If the inputs are `fixed`, those of one stem keep their
/// extensions.
fn name_outputs(
    discovery: Discovery,
    options: &OutputOptions,
    settings: Option<&Arc<InputSettings>>,
    is_fixed: bool,
) -> Result<Plan, Vec<Error>> {
    let Discovery { mut inputs, mut faults, failures, mut notes, missing: _ } = discovery;
    if is_fixed {
        notes.extend(keep_extensions(&mut inputs, options, settings));
    }
    let mut items = Vec::with_capacity(inputs.len());
    for item in plan_inputs(&inputs, options, settings) {
        match item {
            Ok(item) => items.push(item),
            Err(fault) => faults.push(fault),
        }
    }
    identify_repeated(&mut items);
    separate_journals(&mut items);
    let is_distinct = |template: Template| {
        let options = OutputOptions { template: Some(template), language_in_name: false, ..options.clone() };
        let items: Vec<PlannedInput> = plan_inputs(&inputs, &options, settings).flatten().collect();
        items.len() == inputs.len() && conflicts::sharing(&items).is_empty()
    };
    faults.extend(conflicts::find(&items, &is_distinct));
    faults.extend(conflicts::on_stdout(&items));
    faults.extend(conflicts::too_long(&items));
    if faults.is_empty() { Ok(Plan { items, failures, notes }) } else { Err(faults) }
}

/// Plans every input by itself.
fn plan_inputs<'a>(
    inputs: &'a [ResolvedInput],
    options: &'a OutputOptions,
    settings: Option<&'a Arc<InputSettings>>,
) -> impl Iterator<Item = Result<PlannedInput>> + 'a {
    inputs.iter().enumerate().map(move |(index, input)| {
        plan_input(input, index + 1, options, input.overrides.settings.as_ref().or(settings))
    })
}

/// Adds the extensions to the names of inputs whose outputs would otherwise be the same files, such as `talk.mp3` and
/// `talk.wav`. Returns a note for each.
fn keep_extensions(
    inputs: &mut [ResolvedInput],
    options: &OutputOptions,
    settings: Option<&Arc<InputSettings>>,
) -> Vec<(InputName, String)> {
    let mut notes = Vec::new();
    if options.template.is_some() {
        return notes;
    }
    loop {
        let items: Vec<(usize, PlannedInput)> = plan_inputs(inputs, options, settings)
            .enumerate()
            .filter_map(|(index, item)| Some((index, item.ok()?)))
            .collect();
        let (indices, items): (Vec<usize>, Vec<PlannedInput>) = items.into_iter().unzip();
        let before = notes.len();
        for (position, other) in conflicts::sharing(&items) {
            let input = &mut inputs[indices[position]];
            let is_named_by_stem = input.overrides.paths.is_none() && !input.keeps_extension;
            if is_named_by_stem
                && matches!(&input.source, InputSource::File(path) if path.extension().is_some())
            {
                input.keeps_extension = true;
                let text =
                    format!("its outputs keep the extension: `{}` has the same stem", items[other].name());
                notes.push((items[position].name(), text));
            }
        }
        if notes.len() == before {
            return notes;
        }
    }
}

/// Gives the uses of a recording that is planned twice an id each, so that reports can tell them apart.
fn identify_repeated(items: &mut [PlannedInput]) {
    let mut uses: HashMap<String, usize> = HashMap::new();
    for item in items.iter() {
        *uses.entry(item.source.name()).or_default() += 1;
    }
    for item in items {
        let is_repeated = uses.get(&item.source.name()) > Some(&1);
        item.id = item.id.take().or_else(|| item.location.take().filter(|_| is_repeated));
    }
}

/// Gives a recording that is planned twice, say in two languages, journals of its own, named after its first output.
fn separate_journals(items: &mut [PlannedInput]) {
    let mut users: HashMap<PathBuf, usize> = HashMap::new();
    for journal in items.iter().filter_map(|item| item.journal.as_ref()) {
        *users.entry(journal.clone()).or_default() += 1;
    }
    for item in items {
        let is_shared = item.journal.as_ref().is_some_and(|journal| users.get(journal) > Some(&1));
        if let Some((_, first)) = item.outputs.first().filter(|_| is_shared) {
            let name = first.file_name();
            item.journal = item.journal.take().map(|journal| output_names::journal(&journal, name));
        }
    }
}

fn plan_input(
    input: &ResolvedInput,
    index: usize,
    options: &OutputOptions,
    settings: Option<&Arc<InputSettings>>,
) -> Result<PlannedInput> {
    let names = output_names::names(input, index, options, settings.map(|settings| &**settings))?;
    let outputs: Vec<(Format, PathBuf)> =
        names.outputs.iter().map(|(format, pattern)| (*format, pattern.shown())).collect();
    let requested: Vec<PathBuf> = outputs.iter().map(|(_, path)| path.clone()).collect();
    let printed = names.printed;
    let modified_before = requested.iter().map(|path| (path.clone(), modified(path))).collect();
    Ok(PlannedInput {
        id: input.overrides.id.clone(),
        location: input.location.clone(),
        settings: input.overrides.settings.clone(),
        printed,
        outputs,
        patterns: output_pattern::pending(names.outputs),
        requested,
        modified_before,
        journal: names.journal,
        ..PlannedInput::new(input.source.clone())
    })
}

/// Returns when a file was modified, if it exists.
pub fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests;
