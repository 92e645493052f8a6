//! Which input makes which files: all that can be found wrong before any work is found here.

mod conflicts;
mod discovery;
mod dry_run;
mod filter;
mod list;
mod manifest;
mod output_folders;
mod output_names;
mod request;
mod shard;
mod template;
mod up_to_date;
mod walk;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rayon::prelude::*;

pub use self::discovery::InputOptions;
pub use self::dry_run::{DryRun, PlannedModel, rehearse};
pub use self::filter::Filter;
pub use self::request::{ModelRequest, PlanRequest, Settings};
pub use self::shard::{Shard, ShardRequest};
pub use self::template::Template;
pub use self::up_to_date::ModelNames;
pub use self::walk::{FileListing, files};

use self::discovery::{Finds, Found, Wish};
use crate::audio::{AudioOptions, probe_duration};
use crate::error::{Error, Result};
use crate::export::Format;

/// What to do with the results.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// None: no files.
    pub formats: Vec<Format>,
    /// Beside each input if not given.
    pub output_dir: Option<PathBuf>,
    /// In that folder no others are made like those that the inputs lie in.
    pub flat: bool,
    /// How they are called; as their inputs, if not given.
    pub template: Option<Template>,
    /// Replace files that are there.
    pub overwrite: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    Stdin,
    File(PathBuf),
}

impl InputSource {
    /// What to call it in messages: as the person did.
    pub fn name(&self) -> String {
        match self {
            InputSource::Stdin => "-".into(),
            InputSource::File(path) => path.display().to_string(),
        }
    }
}

/// One input and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedInput {
    pub source: InputSource,
    /// What a manifest calls it.
    pub id: Option<String>,
    /// How to do it, if not as the request says.
    pub settings: Option<Arc<Settings>>,
    /// Seconds, as the file claims; only found out where somebody needs to know.
    pub length: Option<f64>,
    /// The files to write; those that are there already are left out.
    pub outputs: Vec<(Format, PathBuf)>,
    /// All that were asked for, also those that are there.
    pub asked: Vec<PathBuf>,
    /// When each of these was last changed before it was planned; none if it was not there.
    pub before: Vec<(PathBuf, Option<SystemTime>)>,
    /// Where to keep what is finished; only of what is there again the next time.
    pub journal: Option<PathBuf>,
    /// Nothing is left to do.
    pub is_done: bool,
    /// And why not.
    pub why_done: String,
}

#[derive(Debug, Default)]
pub struct Plan {
    /// In the order in which they were named.
    pub items: Vec<PlannedInput>,
    /// Of what cannot be done, while the rest can.
    pub failures: Vec<Error>,
    /// What a person should know of it: of which input, and what.
    pub notes: Vec<(String, String)>,
}

impl PlannedInput {
    /// Text of it is printed and nothing written.
    pub fn new(source: InputSource) -> Self {
        PlannedInput {
            source,
            id: None,
            settings: None,
            length: None,
            outputs: Vec::new(),
            asked: Vec::new(),
            before: Vec::new(),
            journal: None,
            is_done: false,
            why_done: String::new(),
        }
    }

    /// What to call the input in messages: as the person did.
    pub fn name(&self) -> String {
        self.source.name()
    }

    fn probe(&mut self, audio: &AudioOptions) {
        if let InputSource::File(path) = &self.source {
            self.length = probe_duration(path, audio);
        }
    }
}

/// Looks at every input and every place for an output. All that is wrong is told at once. A rehearsal leaves
/// everything as it is, folders too.
pub fn plan(request: &PlanRequest, is_rehearsal: bool) -> Result<Plan, Vec<Error>> {
    let finds = discovery::find(&request.inputs, &request.discovery, Some(&request.settings));
    let Plan { mut items, mut failures, mut notes } =
        named(finds, &request.outputs, Some(&request.settings))?;
    if let Some(shard) = request.shard {
        let count = items.len();
        probe(&mut items.iter_mut().collect::<Vec<_>>(), request);
        // Before it is known what is done: others may know more or less of it.
        items = shard.take(items);
        notes.push((format!("--shard {shard}"), format!("{} of {count} inputs", items.len())));
    }
    if !request.outputs.overwrite {
        notes.extend(up_to_date::leave_out(&mut items, request));
    }
    if !is_rehearsal {
        match output_folders::check(&mut items) {
            Ok(unwritable) => failures.extend(unwritable),
            Err(faults) => return Err(failures.into_iter().chain(faults).collect()),
        }
    }
    let todo = items.iter_mut().filter(|item| item.length.is_none() && (is_rehearsal || !item.is_done));
    let mut todo: Vec<&mut PlannedInput> = todo.collect();
    // What is alone needs no order.
    if todo.len() > 1 || is_rehearsal {
        probe(&mut todo, request);
    }
    Ok(Plan { items, failures, notes })
}

/// The same for inputs that are no recordings.
pub fn plan_files(inputs: &[PathBuf], options: &OutputOptions) -> Result<Plan, Vec<Error>> {
    let mut plan = named(discovery::find(inputs, &InputOptions::default(), None), options, None)?;
    if !options.overwrite {
        up_to_date::leave_out_files(&mut plan.items);
    }
    plan.failures.extend(output_folders::check(&mut plan.items)?);
    Ok(plan)
}

/// The files that would be asked for of each of these recordings.
pub fn asked(known: &[(PathBuf, PathBuf)], request: &PlanRequest) -> Result<Vec<Vec<PathBuf>>> {
    let found = |(path, below): &(PathBuf, PathBuf)| Found {
        source: InputSource::File(path.clone()),
        below: below.clone(),
        wish: Wish::default(),
    };
    let items = known.iter().map(|known| item(found(known), 1, &request.outputs, Some(&request.settings)));
    items.map(|item| Ok(item?.asked)).collect()
}

fn probe(items: &mut [&mut PlannedInput], request: &PlanRequest) {
    items.par_iter_mut().for_each(|item| item.probe(&request.audio));
}

/// Every input with its outputs, whatever is there of them.
fn named(
    finds: Finds,
    options: &OutputOptions,
    settings: Option<&Arc<Settings>>,
) -> Result<Plan, Vec<Error>> {
    let Finds { found, mut faults, failures, notes } = finds;
    let mut items = Vec::with_capacity(found.len());
    for (index, found) in found.into_iter().enumerate() {
        let own = found.wish.settings.clone();
        match item(found, index + 1, options, own.as_ref().or(settings)) {
            Ok(item) => items.push(item),
            Err(fault) => faults.push(fault),
        }
    }
    own_journals(&mut items);
    faults.extend(conflicts::clashes(&items));
    if faults.is_empty() { Ok(Plan { items, failures, notes }) } else { Err(faults) }
}

/// Of one recording in two languages, each has its own: called as a file of it instead.
fn own_journals(items: &mut [PlannedInput]) {
    let mut users: HashMap<PathBuf, usize> = HashMap::new();
    for journal in items.iter().filter_map(|item| item.journal.as_ref()) {
        *users.entry(journal.clone()).or_default() += 1;
    }
    for item in items {
        let is_shared = item.journal.as_ref().is_some_and(|journal| users.get(journal) > Some(&1));
        if let Some((_, first)) = item.outputs.first().filter(|_| is_shared) {
            item.journal = Some(output_names::journal(first, first.file_name()));
        }
    }
}

fn item(
    found: Found,
    index: usize,
    options: &OutputOptions,
    settings: Option<&Arc<Settings>>,
) -> Result<PlannedInput> {
    let names = output_names::names(&found, index, options, settings.map(|settings| &**settings))?;
    let asked: Vec<PathBuf> = names.outputs.iter().map(|(_, path)| path.clone()).collect();
    let before = asked.iter().map(|path| (path.clone(), changed(path))).collect();
    Ok(PlannedInput {
        id: found.wish.id,
        settings: found.wish.settings,
        outputs: names.outputs,
        asked,
        before,
        journal: names.journal,
        ..PlannedInput::new(found.source)
    })
}

/// When a file was last changed, if it is there.
pub fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests;
