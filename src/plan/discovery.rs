//! Resolves requested inputs to files: folders, patterns, lists and manifests.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::InputSettings;
use super::filter::{NameFilter, bad_pattern};
use super::unplanned::{UnplannedInput, unusable};
use super::walk::{self, DiscoveredFile, FileListing};
use super::{InputName, InputSource, list, manifest};
use crate::error::{Error, InputProblem};
use crate::export::Format;
use crate::limited_read::{MAX_TEXT, read_file, read_stream};

/// Where to look for inputs, and which of them to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputOptions {
    /// Include folders below folders.
    pub recursive: bool,
    /// Patterns of files to take from folders; all if there are none.
    pub include: Vec<String>,
    /// Patterns of files and folders to leave out.
    pub exclude: Vec<String>,
    /// Files with a JSON object per line for each input.
    pub manifests: Vec<PathBuf>,
    /// Recordings that were discovered by the caller.
    pub discovered: Vec<DiscoveredFile>,
}

/// One input, and how it differs from the others.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedInput {
    pub source: InputSource,
    /// The folders between the one that was named and the file.
    pub subfolder: PathBuf,
    pub overrides: InputOverrides,
    /// File and line of the manifest that names it.
    pub location: Option<String>,
    /// Its outputs are named after its whole name, because another input has the same stem.
    pub keeps_extension: bool,
}

impl ResolvedInput {
    pub fn new(source: InputSource, subfolder: PathBuf) -> Self {
        Self {
            source,
            subfolder,
            overrides: InputOverrides::default(),
            location: None,
            keeps_extension: false,
        }
    }
}

/// What a line of a manifest sets for its input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InputOverrides {
    pub id: Option<String>,
    pub settings: Option<Arc<InputSettings>>,
    pub formats: Option<Vec<Format>>,
    /// The exact files to write.
    pub paths: Option<Vec<(Format, PathBuf)>>,
    pub output_dir: Option<PathBuf>,
}

/// All inputs, in the order in which they were named.
#[derive(Debug, Default)]
pub struct Discovery {
    pub inputs: Vec<ResolvedInput>,
    /// Faults that prevent the run.
    pub faults: Vec<Error>,
    /// Files and folders that could not be read; the others can be transcribed.
    pub failures: Vec<UnplannedInput>,
    /// Inputs that are not there: failures if there are others, and faults if there are none.
    pub missing: Vec<UnplannedInput>,
    /// Inputs that were left out, and why.
    pub notes: Vec<(InputName, String)>,
}

/// Resolves all inputs. Manifests are read only if there are settings for their lines to override.
pub fn discover(
    inputs: &[PathBuf],
    options: &InputOptions,
    settings: Option<&Arc<InputSettings>>,
) -> Discovery {
    let mut finder = match NameFilter::new(&options.include, &options.exclude) {
        Ok(filter) => InputFinder {
            discovery: Discovery::default(),
            filter,
            recursive: options.recursive,
            stdin_user: None,
        },
        Err(faults) => return Discovery { faults, ..Discovery::default() },
    };
    inputs.iter().for_each(|input| finder.add_argument(input));
    finder.add_files(options.discovered.clone());
    for path in settings.iter().flat_map(|_| &options.manifests) {
        finder.add_manifest(path, settings);
    }
    let mut discovery = finder.discovery;
    remove_duplicates(&mut discovery);
    let missing = std::mem::take(&mut discovery.missing);
    if discovery.inputs.is_empty() || !discovery.faults.is_empty() {
        discovery.faults.splice(0..0, missing.into_iter().map(UnplannedInput::into_fault));
    } else {
        discovery.failures.extend(missing);
    }
    if discovery.inputs.is_empty() && discovery.faults.is_empty() && discovery.failures.is_empty() {
        let hint = "name files, folders or patterns, or check the content of the list or the manifest";
        discovery.faults.push(fault("inputs", "there are none", hint));
    }
    discovery
}

struct InputFinder {
    discovery: Discovery,
    filter: NameFilter,
    recursive: bool,
    /// What reads standard input.
    stdin_user: Option<String>,
}

pub fn fault(what: impl Into<String>, why: impl Into<String>, hint: &str) -> Error {
    Error::Usage { what: what.into(), why: why.into(), hint: Some(hint.into()) }
}

impl InputFinder {
    fn add_argument(&mut self, input: &Path) {
        let list = input.to_str().and_then(|text| text.strip_prefix('@')).filter(|list| !list.is_empty());
        match list {
            Some(list) if input.symlink_metadata().is_err() => self.add_list(Path::new(list)),
            _ => self.add_name(input, None),
        }
    }

    /// Adds a name of the command line, or from this line of a list.
    fn add_name(&mut self, input: &Path, line: Option<&str>) {
        if input == Path::new("-") {
            if self.claim_stdin("`-`") {
                self.discovery.inputs.push(ResolvedInput::new(InputSource::Stdin, PathBuf::new()));
            }
            return;
        }
        match input.metadata() {
            Ok(metadata) if metadata.is_dir() => self.add_folder(input),
            Ok(_) => {
                self.add_files(vec![DiscoveredFile { path: input.to_owned(), subfolder: PathBuf::new() }]);
            }
            Err(error) if is_missing(&error) && walk::is_pattern(input) => self.add_pattern(input),
            Err(error) => self.miss(input, unusable(error, line)),
        }
    }

    /// Notes an input that is not there, or that holds none.
    fn miss(&mut self, input: &Path, why: InputProblem) {
        self.discovery.missing.push(UnplannedInput::new(input.display().to_string(), why));
    }

    fn add_files(&mut self, files: Vec<DiscoveredFile>) {
        let inputs = files
            .into_iter()
            .map(|DiscoveredFile { path, subfolder }| ResolvedInput::new(InputSource::File(path), subfolder));
        self.discovery.inputs.extend(inputs);
    }

    fn add_folder(&mut self, folder: &Path) {
        let FileListing { files, failures, has_folders } =
            walk::list_recordings(folder, self.recursive, &self.filter);
        if files.is_empty() && failures.is_empty() {
            self.miss(folder, InputProblem::NoRecordings { has_folders: has_folders && !self.recursive });
        }
        self.add_files(files);
        self.discovery.failures.extend(failures.into_iter().map(UnplannedInput::from));
    }

    fn add_pattern(&mut self, pattern: &Path) {
        let Some(text) = pattern.to_str() else {
            return self.miss(pattern, InputProblem::Missing { named_in: None });
        };
        match walk::list_matching(text) {
            Ok(listing) if listing.files.is_empty() && listing.failures.is_empty() => {
                self.miss(pattern, InputProblem::NoMatch);
            }
            Ok(mut listing) => {
                let name = |file: &DiscoveredFile| PathBuf::from(file.path.file_name().unwrap_or_default());
                listing.files.retain(|file| self.filter.includes(&name(file)));
                self.add_files(listing.files);
                self.discovery.failures.extend(listing.failures.into_iter().map(UnplannedInput::from));
            }
            Err(error) => self.discovery.faults.push(bad_pattern(text, &error)),
        }
    }

    fn add_list(&mut self, list: &Path) {
        let what = format!("`@{}`", list.display());
        if let Some(content) = self.read(list, &what) {
            for (line, name) in list::names(&content) {
                self.add_name(&name, Some(&format!("line {line} of {what}")));
            }
        }
    }

    fn add_manifest(&mut self, path: &Path, settings: Option<&Arc<InputSettings>>) {
        let what = format!("`--manifest {}`", path.display());
        let Some(settings) = settings else { return };
        if let Some(content) = self.read(path, &what) {
            let folder = path.parent().unwrap_or(Path::new(""));
            let manifest::Manifest { inputs, missing, faults } =
                manifest::read(path, folder, &content, settings);
            for _ in inputs.iter().filter(|input| input.source == InputSource::Stdin) {
                self.claim_stdin(&what);
            }
            self.discovery.inputs.extend(inputs);
            self.discovery.missing.extend(missing);
            self.discovery.faults.extend(faults);
        }
    }

    /// Reads a list or a manifest; `-` is standard input.
    fn read(&mut self, path: &Path, what: &str) -> Option<Vec<u8>> {
        let read = match path == Path::new("-") {
            true if !self.claim_stdin(what) => return None,
            true => read_stream(io::stdin().lock(), MAX_TEXT),
            false => read_file(path, MAX_TEXT),
        };
        match read {
            Ok(content) => Some(content),
            Err(error) => {
                self.discovery.faults.push(unreadable(what, &error));
                None
            }
        }
    }

    /// Returns whether standard input is still free for this user.
    fn claim_stdin(&mut self, user: &str) -> bool {
        let previous = self.stdin_user.replace(user.to_owned());
        if let Some(other) = &previous {
            let what = if other == user { user.to_owned() } else { format!("{other} and {user}") };
            self.discovery.faults.push(Error::usage(what, "standard input can be read only once"));
        }
        previous.is_none()
    }
}

fn is_missing(error: &io::Error) -> bool {
    // On Windows a pattern is not a valid file name.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
}

/// Returns the fault of a list or manifest that cannot be read.
fn unreadable(what: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            fault(what, "there is no such file", "check the path; quote it if it contains spaces")
        }
        io::ErrorKind::FileTooLarge => {
            fault(what, error.to_string(), "no such file is that large: check the path")
        }
        _ => {
            let why = InputProblem::Unreadable(io::Error::from(error.kind())).to_string();
            fault(what, format!("{why}: {error}"), "check the permissions of its folders")
        }
    }
}

/// Keeps one of several names of the same file with the same overrides.
fn remove_duplicates(discovery: &mut Discovery) {
    let mut first: HashMap<PathBuf, Vec<ResolvedInput>> = HashMap::new();
    let mut kept = Vec::with_capacity(discovery.inputs.len());
    for input in discovery.inputs.drain(..) {
        let InputSource::File(path) = &input.source else {
            kept.push(input);
            continue;
        };
        let others = first.entry(path.canonicalize().unwrap_or_else(|_| path.clone())).or_default();
        match others.iter().find(|other| other.overrides == input.overrides) {
            Some(other) => {
                let text = match other.source == input.source {
                    true => "named twice; it is processed once".to_owned(),
                    false => {
                        format!("the same file as `{}`; it is processed once", other.source.name())
                    }
                };
                discovery.notes.push((input.source.name().into(), text));
            }
            None => {
                others.push(input.clone());
                kept.push(input);
            }
        }
    }
    discovery.inputs = kept;
}
