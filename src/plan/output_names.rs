//! Where the files of an input go, and what they are called.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::Settings;
use super::discovery::{Found, fault};
use super::template::{Field, Template};
use super::{InputSource, OutputOptions};
use crate::decode::Task;
use crate::error::{Error, Result};
use crate::export::Format;

/// The outputs, and where to keep what is finished of them.
pub struct Names {
    pub outputs: Vec<(Format, PathBuf)>,
    pub journal: Option<PathBuf>,
}

/// Those of one input, the `index`th from 1 on, that is done by these settings if any are needed for it.
pub fn names(
    found: &Found,
    index: usize,
    options: &OutputOptions,
    settings: Option<&Settings>,
) -> Result<Names> {
    let outputs = match &found.wish.paths {
        Some(paths) => paths.clone(),
        None => Naming { found, index, options, settings }.outputs()?,
    };
    let is_regular = matches!(&found.source, InputSource::File(path) if path.is_file());
    let first = outputs.first().map(|(_, path)| path).filter(|_| is_regular);
    let journal = first.map(|path| journal(path, path.file_stem()));
    Ok(Names { outputs, journal })
}

/// The hidden file of this name beside an output.
pub fn journal(output: &Path, name: Option<&OsStr>) -> PathBuf {
    let mut hidden = OsString::from(".");
    hidden.push(name.unwrap_or_default());
    hidden.push(".transcribe");
    output.with_file_name(hidden)
}

struct Naming<'a> {
    found: &'a Found,
    index: usize,
    options: &'a OutputOptions,
    settings: Option<&'a Settings>,
}

impl Naming<'_> {
    fn outputs(&self) -> Result<Vec<(Format, PathBuf)>> {
        let wish = &self.found.wish;
        let formats = wish.formats.as_ref().unwrap_or(&self.options.formats);
        if formats.is_empty() && wish.output_dir.is_some() {
            let hint = "say which formats with `outputs` in that line, or with `--export`";
            return Err(self.fault("has an `output_dir` but no formats", hint));
        }
        let folder = self.folder();
        let output = |format: &Format| {
            let name = match &self.options.template {
                Some(template) => self.filled(template, *format)?,
                None => {
                    let mut name = self.stem().to_owned();
                    name.push(".");
                    name.push(format.name());
                    name
                }
            };
            Ok((*format, folder.join(name)))
        };
        formats.iter().map(output).collect()
    }

    fn fault(&self, why: &str, hint: &str) -> Error {
        fault(format!("`{}`", self.found.source.name()), why, hint)
    }

    fn file(&self) -> Option<&Path> {
        match &self.found.source {
            InputSource::Stdin => None,
            InputSource::File(path) => Some(path),
        }
    }

    fn stem(&self) -> &OsStr {
        self.file().map_or(OsStr::new("stdin"), |path| path.file_stem().unwrap_or(path.as_os_str()))
    }

    /// Beside the input, or where everything goes: there in folders like those that the input lies in.
    fn folder(&self) -> PathBuf {
        let options = self.options;
        match (self.found.wish.output_dir.as_ref().or(options.output_dir.as_ref()), self.file()) {
            (Some(folder), _) if options.flat || options.template.is_some() => folder.clone(),
            (Some(folder), _) => folder.join(&self.found.below),
            (None, Some(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            (None, None) => PathBuf::new(),
        }
    }

    fn filled(&self, template: &Template, format: Format) -> Result<OsString> {
        template.fill(|field| self.value(field, format))
    }

    fn value(&self, field: Field, format: Format) -> Result<OsString> {
        let settings = |what: &str| {
            let hint = "without a model to ask, leave it out of `--output-template`";
            self.settings.ok_or_else(|| self.fault(&format!("has no {what} that a name could tell"), hint))
        };
        Ok(match field {
            Field::Stem => self.stem().into(),
            Field::Name => {
                self.file().and_then(Path::file_name).map_or_else(|| self.stem().into(), OsStr::to_owned)
            }
            Field::Parent => self.parent(),
            Field::Dir => match self.found.below.as_os_str() {
                here if here.is_empty() => ".".into(),
                below => below.to_owned(),
            },
            Field::Ext => format.name().into(),
            Field::Date => self.date().into(),
            Field::Index => self.index.to_string().into(),
            Field::Task => match settings("task")?.decode.task {
                Task::Transcribe => "transcribe".into(),
                Task::Translate => "translate".into(),
            },
            Field::Model => model(&settings("model")?.model.name).into(),
            Field::Language => {
                let hint = "say it with `--language`, or leave `{language}` out of `--output-template`";
                let language = settings("language")?.decode.language;
                let why = "its language is known only after listening, too late for its name";
                language.ok_or_else(|| self.fault(why, hint))?.code().into()
            }
            Field::Id => {
                let hint =
                    "give each line of the manifest an `id`, or leave `{id}` out of `--output-template`";
                let id = self.found.wish.id.as_ref().ok_or_else(|| self.fault("has no `id`", hint))?;
                plain(id).into()
            }
        })
    }

    fn parent(&self) -> OsString {
        let folder = match self.file().and_then(Path::parent) {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let named = folder.file_name().map(OsStr::to_owned);
        let real = || Some(folder.canonicalize().ok()?.file_name()?.to_owned());
        named.or_else(real).unwrap_or_else(|| ".".into())
    }

    /// That of the recording, which is the same the next day, so that the same command goes on with its files.
    fn date(&self) -> String {
        let modified = self.file().and_then(|path| path.metadata().ok()?.modified().ok());
        let moment = Timestamp::try_from(modified.unwrap_or_else(SystemTime::now));
        let zoned = moment.map_or_else(|_| Zoned::now(), |moment| moment.to_zoned(TimeZone::system()));
        zoned.date().to_string()
    }
}

/// A model's name as a part of a file's.
fn model(name: &str) -> String {
    let folder = Path::new(name).is_dir().then(|| Path::new(name).file_name()).flatten();
    folder.map_or_else(|| plain(name), |folder| plain(&folder.to_string_lossy()))
}

/// Without what leads to other folders.
fn plain(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() || "/\\:".contains(c) { '-' } else { c }).collect();
    if plain.chars().all(|c| c == '.') { "-".repeat(plain.len()) } else { plain }
}
