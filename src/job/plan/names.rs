//! Where the files of an input go, and what they are called.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::find::{Found, fault};
use super::{PlanOptions, Source};
use crate::error::Result;
use crate::export::Format;

/// The outputs, and where to keep what is finished of them.
pub struct Names {
    pub outputs: Vec<(Format, PathBuf)>,
    pub journal: Option<PathBuf>,
}

/// Those of one input, the `index`th from 1 on.
pub fn names(found: &Found, _index: usize, options: &PlanOptions) -> Result<Names> {
    let outputs = match &found.wish.paths {
        Some(paths) => paths.clone(),
        None => formatted(found, options)?,
    };
    let is_regular = matches!(&found.source, Source::File(path) if path.is_file());
    let first = outputs.first().map(|(_, path)| path).filter(|_| is_regular);
    let journal = first.map(|path| {
        // Files that were named one by one share their stem with others, perhaps.
        let name = if found.wish.paths.is_some() { path.file_name() } else { path.file_stem() };
        let mut hidden = OsString::from(".");
        hidden.push(name.unwrap_or_default());
        hidden.push(".transcribe");
        path.with_file_name(hidden)
    });
    Ok(Names { outputs, journal })
}

fn formatted(found: &Found, options: &PlanOptions) -> Result<Vec<(Format, PathBuf)>> {
    let formats = found.wish.formats.as_ref().unwrap_or(&options.formats);
    if formats.is_empty() && found.wish.output_dir.is_some() {
        let hint = "say which formats with `outputs` in that line, or with `--export`";
        return Err(fault(format!("`{}`", found.source.name()), "has an `output_dir` but no formats", hint));
    }
    let folder = folder(found, options);
    let stem = match &found.source {
        Source::Stdin => OsStr::new("stdin"),
        Source::File(path) => path.file_stem().unwrap_or(path.as_os_str()),
    };
    let output = |format: &Format| {
        let mut name = stem.to_owned();
        name.push(".");
        name.push(format.name());
        (*format, folder.join(name))
    };
    Ok(formats.iter().map(output).collect())
}

/// Beside the input, or where everything goes: there in folders like those that the input lies in.
fn folder(found: &Found, options: &PlanOptions) -> PathBuf {
    match (found.wish.output_dir.as_ref().or(options.output_dir.as_ref()), &found.source) {
        (Some(folder), _) if options.flat => folder.clone(),
        (Some(folder), _) => folder.join(&found.below),
        (None, Source::File(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
        (None, Source::Stdin) => PathBuf::new(),
    }
}
