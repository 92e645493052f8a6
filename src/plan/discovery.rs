//! From what was said to the inputs that are meant: files, folders, patterns, lists and manifests.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Settings;
use super::filter::{Filter, bad_pattern};
use super::walk::{self, FileListing};
use super::{InputSource, list, manifest};
use crate::error::{Error, InputProblem};
use crate::export::Format;

/// Where inputs are looked for, and which of them are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputOptions {
    /// Folders below folders, too.
    pub recursive: bool,
    /// Patterns of what is wanted of folders; all if there are none.
    pub include: Vec<String>,
    /// Patterns of what is not.
    pub exclude: Vec<String>,
    /// Files with a line of JSON for each input.
    pub manifests: Vec<PathBuf>,
    /// Recordings that somebody has found already, and the folders between the one that was named and each of them.
    pub known: Vec<(PathBuf, PathBuf)>,
}

/// One input, and what it wants otherwise than the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    pub source: InputSource,
    /// The folders between the one that was named and the file.
    pub below: PathBuf,
    pub wish: Wish,
}

/// What a line of a manifest asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wish {
    pub id: Option<String>,
    pub settings: Option<Arc<Settings>>,
    pub formats: Option<Vec<Format>>,
    /// The very files to write.
    pub paths: Option<Vec<(Format, PathBuf)>>,
    pub output_dir: Option<PathBuf>,
}

/// All that was found, in the order in which it was named.
#[derive(Debug, Default)]
pub struct Finds {
    pub found: Vec<Found>,
    /// Why nothing may be done.
    pub faults: Vec<Error>,
    /// What could not be looked into; the rest can be done.
    pub failures: Vec<Error>,
    /// What was left out, by its name, and why.
    pub notes: Vec<(String, String)>,
}

/// Looks for all of it. Manifests are only read where there are settings for their lines to change.
pub fn find(inputs: &[PathBuf], options: &InputOptions, settings: Option<&Arc<Settings>>) -> Finds {
    let mut finder = match Filter::new(&options.include, &options.exclude) {
        Ok(filter) => Finder { finds: Finds::default(), filter, deep: options.recursive, stdin: None },
        Err(faults) => return Finds { faults, ..Finds::default() },
    };
    inputs.iter().for_each(|input| finder.argument(input));
    options.known.iter().for_each(|(path, below)| finder.add(InputSource::File(path.clone()), below.clone()));
    for path in settings.iter().flat_map(|_| &options.manifests) {
        finder.manifest(path, settings);
    }
    let mut finds = finder.finds;
    leave_out_doubles(&mut finds);
    if finds.found.is_empty() && finds.faults.is_empty() && finds.failures.is_empty() {
        let hint = "name files, folders or patterns, or look into what the list or the manifest holds";
        finds.faults.push(fault("inputs", "there are none", hint));
    }
    finds
}

struct Finder {
    finds: Finds,
    filter: Filter,
    deep: bool,
    /// Who reads standard input.
    stdin: Option<String>,
}

pub fn fault(what: impl Into<String>, why: impl Into<String>, hint: &str) -> Error {
    Error::Usage { what: what.into(), why: why.into(), hint: Some(hint.into()) }
}

impl Finder {
    fn argument(&mut self, input: &Path) {
        let list = input.to_str().and_then(|text| text.strip_prefix('@')).filter(|list| !list.is_empty());
        match list {
            Some(list) if input.symlink_metadata().is_err() => self.list(Path::new(list)),
            _ => self.named(input, None),
        }
    }

    /// A name on the command line, or in this place of a list.
    fn named(&mut self, input: &Path, place: Option<&str>) {
        let what = match place {
            Some(place) => format!("`{}` (in {place})", input.display()),
            None => format!("`{}`", input.display()),
        };
        if input == Path::new("-") {
            if self.takes_stdin("`-`") {
                self.add(InputSource::Stdin, PathBuf::new());
            }
            return;
        }
        match input.metadata() {
            Ok(metadata) if metadata.is_dir() => self.folder(input, &what),
            Ok(_) => self.add(InputSource::File(input.to_owned()), PathBuf::new()),
            Err(error) if missing(&error) && walk::is_pattern(input) => self.pattern(input, &what),
            Err(error) => self.finds.faults.push(unusable(&what, &error)),
        }
    }

    fn add(&mut self, source: InputSource, below: PathBuf) {
        self.finds.found.push(Found { source, below, wish: Wish::default() });
    }

    fn folder(&mut self, folder: &Path, what: &str) {
        let FileListing { files, failures, has_folders } = walk::folder(folder, self.deep, &self.filter);
        if files.is_empty() && failures.is_empty() {
            let (why, hint) = match has_folders && !self.deep {
                true => (
                    "is a folder with no recording in it, only folders",
                    "`--recursive` looks into those, too",
                ),
                false => (
                    "is a folder with no recording in it",
                    "check the path, `--include` and `--exclude`; hidden files are left alone",
                ),
            };
            self.finds.faults.push(fault(what, why, hint));
        }
        self.take(files, failures);
    }

    fn pattern(&mut self, pattern: &Path, what: &str) {
        let Some(text) = pattern.to_str() else {
            let missing = io::Error::from(io::ErrorKind::NotFound);
            return self.finds.faults.push(unusable(what, &missing));
        };
        match walk::matching(text) {
            Ok(walk) if walk.files.is_empty() && walk.failures.is_empty() => {
                let hint = "check the path; `*` stands for any letters of a name, `**` for any folders";
                self.finds.faults.push(fault(what, "no file has such a name", hint));
            }
            Ok(mut walk) => {
                walk.files
                    .retain(|(path, _)| self.filter.takes(Path::new(path.file_name().unwrap_or_default())));
                self.take(walk.files, walk.failures);
            }
            Err(error) => self.finds.faults.push(bad_pattern(text, &error)),
        }
    }

    fn take(&mut self, files: Vec<(PathBuf, PathBuf)>, failures: Vec<Error>) {
        files.into_iter().for_each(|(path, below)| self.add(InputSource::File(path), below));
        self.finds.failures.extend(failures);
    }

    fn list(&mut self, list: &Path) {
        let what = format!("`@{}`", list.display());
        if let Some(content) = self.read(list, &what) {
            let names = list::names(&content);
            for (line, name) in names {
                self.named(&name, Some(&format!("line {line} of {what}")));
            }
        }
    }

    fn manifest(&mut self, path: &Path, settings: Option<&Arc<Settings>>) {
        let what = format!("`--manifest {}`", path.display());
        let Some(settings) = settings else { return };
        if let Some(content) = self.read(path, &what) {
            let folder = path.parent().unwrap_or(Path::new(""));
            let (found, faults) = manifest::read(path, folder, &content, settings);
            let stdins = found.iter().filter(|found| found.source == InputSource::Stdin).count();
            for _ in 0..stdins {
                self.takes_stdin(&what);
            }
            self.finds.found.extend(found);
            self.finds.faults.extend(faults);
        }
    }

    /// A file of names; `-` is standard input.
    fn read(&mut self, path: &Path, what: &str) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let read = match path == Path::new("-") {
            true if !self.takes_stdin(what) => return None,
            true => io::stdin().lock().read_to_end(&mut content).map(drop),
            false => std::fs::read(path).map(|bytes| content = bytes),
        };
        match read {
            Ok(()) => Some(content),
            Err(error) => {
                self.finds.faults.push(unusable(what, &error));
                None
            }
        }
    }

    fn takes_stdin(&mut self, who: &str) -> bool {
        let taken = self.stdin.replace(who.to_owned());
        if let Some(other) = &taken {
            let what = if other == who { who.to_owned() } else { format!("{other} and {who}") };
            self.finds.faults.push(Error::usage(what, "standard input can be read only once"));
        }
        taken.is_none()
    }
}

fn missing(error: &io::Error) -> bool {
    // Windows takes a pattern for a name that cannot be.
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
}

/// Why a file cannot be an input.
pub fn unusable(what: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => {
            fault(what, "there is no such file", "check the path; quote it if it contains spaces")
        }
        _ => {
            let why = InputProblem::Unreadable(io::Error::from(error.kind())).to_string();
            fault(what, format!("{why}: {error}"), "check the permissions of its folders")
        }
    }
}

/// The same file twice, by whatever names, with the same wishes is done once.
fn leave_out_doubles(finds: &mut Finds) {
    let mut first: HashMap<PathBuf, Vec<Found>> = HashMap::new();
    let mut kept = Vec::with_capacity(finds.found.len());
    for found in finds.found.drain(..) {
        let InputSource::File(path) = &found.source else {
            kept.push(found);
            continue;
        };
        let others = first.entry(path.canonicalize().unwrap_or_else(|_| path.clone())).or_default();
        match others.iter().find(|other| other.wish == found.wish) {
            Some(other) => {
                let text = match other.source == found.source {
                    true => "named twice; it is done once".to_owned(),
                    false => format!("the same file as `{}`; it is done once", other.source.name()),
                };
                finds.notes.push((found.source.name(), text));
            }
            None => {
                others.push(found.clone());
                kept.push(found);
            }
        }
    }
    finds.found = kept;
}
