//! Finds outputs that two inputs would write, and outputs that would overwrite an input.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::output_names::MAX_NAME;
use super::{InputName, InputSource, PlannedInput, Template};
use crate::decode::Language;
use crate::error::Error;
use crate::export::Format;

/// Returns the positions of inputs that share an output with another recording, with that of the other.
pub fn sharing(items: &[PlannedInput]) -> Vec<(usize, usize)> {
    let mut paths = CanonicalPaths::default();
    let mut writers: HashMap<PathBuf, Vec<usize>> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        for (_, path) in &item.outputs {
            writers.entry(paths.canonical(path)).or_default().push(position);
        }
    }
    let mut sharing = BTreeMap::new();
    for writers in writers.values().filter(|writers| writers.len() > 1) {
        for &position in writers {
            let is_other = |other: &&usize| items[**other].source != items[position].source;
            if let Some(&other) = writers.iter().find(is_other) {
                sharing.insert(position, other);
            }
        }
    }
    sharing.into_iter().collect()
}

/// Returns a fault for every input with such an output or journal. `is_distinct` says whether a template tells all
/// outputs apart.
pub fn find(items: &[PlannedInput], is_distinct: &dyn Fn(Template) -> bool) -> Vec<Error> {
    let suggestion = OnceCell::new();
    let suggest = || suggestion.get_or_init(|| distinct_template(is_distinct)).as_deref();
    let mut paths = CanonicalPaths::default();
    let mut inputs: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    for item in items {
        if let InputSource::File(path) = &item.source {
            inputs.insert(paths.canonical(path), item);
        }
    }
    let mut writers: HashMap<PathBuf, &PlannedInput> = HashMap::new();
    let mut faults = Vec::new();
    let is_mixed = items.iter().any(|item| !item.is_named_by_language());
    for item in items {
        for path in possible_outputs(item, is_mixed).iter().chain(&item.journal) {
            let canonical = paths.canonical(path);
            let fault = match (inputs.get(&canonical), writers.get(&canonical)) {
                (Some(_), _) => Some(overwritten(path)),
                (None, Some(other)) => Some(clash(path, other, item, suggest)),
                (None, None) => None,
            };
            writers.insert(canonical, item);
            if let Some(fault) = fault {
                faults.push(fault);
                // One fault per input is enough.
                break;
            }
        }
    }
    faults
}

/// Returns the outputs of an input; where their language is not known, those of all languages if other names are fixed.
fn possible_outputs(item: &PlannedInput, is_mixed: bool) -> Vec<PathBuf> {
    if !item.is_named_by_language() || !is_mixed {
        return item.outputs.iter().map(|(_, path)| path.clone()).collect();
    }
    let paths = |language| item.patterns.iter().map(move |(_, pattern)| pattern.path(language));
    Language::all().map(Language::code).flat_map(paths).collect()
}

fn overwritten(path: &Path) -> Error {
    Error::Usage {
        what: format!("`{}`", path.display()),
        why: "is an input and would be overwritten".into(),
        hint: Some(
            "choose another folder with `--output-dir` or other names with `--output-template`".into(),
        ),
    }
}

/// Returns the faults of outputs, or their partial files, whose names no file system takes.
pub fn too_long(items: &[PlannedInput]) -> Vec<Error> {
    let is_long = |path: &&PathBuf| {
        path.components().any(|part| part.as_os_str().len() > MAX_NAME)
            || path.file_name().is_some_and(|name| name.len() + ".partial".len() > MAX_NAME)
    };
    let first = |item: &PlannedInput| Some((item.name(), item.requested.iter().find(is_long)?.clone()));
    let fault = |(input, path): (InputName, PathBuf)| Error::Usage {
        what: format!("`{input}`"),
        why: format!("the name of its output has more than {} bytes: `{}`", MAX_NAME - 8, path.display()),
        hint: Some("give shorter names with `--output-template`, such as `{index}.{ext}`".into()),
    };
    items.iter().filter_map(first).map(fault).collect()
}

/// Returns the fault of several inputs whose outputs cannot be told apart on standard output.
pub fn on_stdout(items: &[PlannedInput]) -> Option<Error> {
    let printed = items.iter().filter_map(|item| item.printed);
    let format = printed.clone().find(|format| *format != Format::Json)?;
    if printed.count() < 2 {
        return None;
    }
    Some(Error::Usage {
        what: "`--output-dir -`".into(),
        why: format!("several inputs cannot be told apart on standard output as {format}"),
        hint: Some("use `--export json`, which prints a line for each, or write files".into()),
    })
}

/// Returns the first of some templates that tells all outputs apart.
fn distinct_template(is_distinct: &dyn Fn(Template) -> bool) -> Option<String> {
    let templates =
        ["{name}", "{parent}/{stem}", "{parent}/{name}", "{dir}/{parent}/{name}", "{index}-{name}"];
    let mut templates = templates.iter().map(|name| format!("{name}.{{ext}}"));
    templates.find(|template| template.parse().is_ok_and(is_distinct))
}

fn clash<'s>(
    path: &Path,
    other: &PlannedInput,
    item: &PlannedInput,
    suggest: impl FnOnce() -> Option<&'s str>,
) -> Error {
    let (one, two) = (other.name(), item.name());
    let for_both = format!("would be written for both `{one}` and `{two}`");
    let (why, hint) = if other == item {
        let hint = "give each format its own file with `{ext}` in `--output-template`";
        (format!("would be written twice for `{one}`"), hint.to_owned())
    } else if other.source == item.source {
        let hint = "give each line of the manifest its own `outputs`, or add `{id}`, `{task}` or `{language}` to \
            `--output-template`";
        (format!("would be written twice for `{one}`, with different settings"), hint.to_owned())
    } else {
        let hint = match suggest() {
            Some(template) => format!(
                "tell them apart with `--output-template {template}`, or run them separately, each with its own \
                 `--output-dir`"
            ),
            None => "give each input an output of its own".into(),
        };
        (for_both, hint)
    };
    Error::Usage { what: format!("`{}`", path.display()), why, hint: Some(hint) }
}

/// Maps every spelling of a path to the same path.
#[derive(Default)]
struct CanonicalPaths {
    folders: HashMap<PathBuf, PathBuf>,
}

impl CanonicalPaths {
    /// Also takes files that do not exist yet.
    fn canonical(&mut self, path: &Path) -> PathBuf {
        let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        if let Some(real) = is_link.then(|| path.canonicalize().ok()).flatten() {
            return fold_case(real);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let real = self.folders.entry(folder.to_owned()).or_insert_with(|| real_folder(folder));
        fold_case(real.join(path.file_name().unwrap_or_default()))
    }
}

/// Resolves the part of the path that exists.
fn real_folder(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    match existing {
        Some((above, real)) => real.join(absolute.strip_prefix(above).unwrap_or(Path::new(""))),
        None => absolute,
    }
}

/// Lowers the case on systems whose file names ignore it.
fn fold_case(path: PathBuf) -> PathBuf {
    if cfg!(any(windows, target_os = "macos")) {
        return path.to_string_lossy().to_lowercase().into();
    }
    path
}
