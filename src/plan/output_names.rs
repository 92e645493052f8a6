//! Names the outputs of an input and its journal.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::InputSettings;
use super::discovery::{ResolvedInput, fault};
use super::template::TemplateField as Field;
use super::{InputSource, OutputOptions, OutputPattern};
use crate::decode::Task;
use crate::digest::sha256_hex;
use crate::error::{Error, Result};
use crate::export::Format;

/// Bytes that a file system allows in a name.
pub const MAX_NAME: usize = 255;
/// What a journal adds to a name.
const JOURNAL_BYTES: usize = ".".len() + ".transcribe".len();

pub struct OutputPaths {
    pub outputs: Vec<(Format, OutputPattern)>,
    /// The format to print instead.
    pub printed: Option<Format>,
    pub journal: Option<PathBuf>,
}

/// Names the outputs of input number `index`, counted from 1. Only templates that ask for a setting need the settings.
pub fn names(
    input: &ResolvedInput,
    index: usize,
    options: &OutputOptions,
    settings: Option<&InputSettings>,
) -> Result<OutputPaths> {
    let mut printed = None;
    let outputs = match &input.overrides.paths {
        Some(paths) => paths.iter().map(|(format, path)| (*format, fixed(path))).collect(),
        None => {
            let naming = OutputNaming { input, index, options, settings };
            printed = naming.printed()?;
            if printed.is_some() { Vec::new() } else { naming.outputs()? }
        }
    };
    let is_regular = matches!(&input.source, InputSource::File(path) if path.is_file());
    let journal = outputs.first().filter(|_| is_regular).map(|(_, pattern)| pattern.journal());
    Ok(OutputPaths { outputs, printed, journal })
}

/// Returns the pattern of a path that is given as it is.
fn fixed(path: &Path) -> OutputPattern {
    OutputPattern::new(PathBuf::new(), vec![path.as_os_str().to_owned()])
}

/// Returns the hidden file of this name beside an output.
pub fn journal(output: &Path, name: Option<&OsStr>) -> PathBuf {
    let name = name.unwrap_or_default();
    let mut hidden = OsString::from(".");
    match name.len() > MAX_NAME - JOURNAL_BYTES {
        true => hidden.push(&sha256_hex(name.as_encoded_bytes())[..16]),
        false => hidden.push(name),
    }
    hidden.push(".transcribe");
    output.with_file_name(hidden)
}

struct OutputNaming<'a> {
    input: &'a ResolvedInput,
    index: usize,
    options: &'a OutputOptions,
    settings: Option<&'a InputSettings>,
}

impl OutputNaming<'_> {
    fn formats(&self) -> &[Format] {
        self.input.overrides.formats.as_ref().unwrap_or(&self.options.formats)
    }

    /// Returns the format to print, if files are not written.
    fn printed(&self) -> Result<Option<Format>> {
        if !self.options.to_stdout || self.input.overrides.output_dir.is_some() {
            return Ok(None);
        }
        match self.formats() {
            [] => Ok(None),
            [format] => Ok(Some(*format)),
            _ => {
                let hint = "choose one format, or write files to a folder";
                Err(fault("`--output-dir -`", "standard output takes a single format", hint))
            }
        }
    }

    fn outputs(&self) -> Result<Vec<(Format, OutputPattern)>> {
        let formats = self.formats();
        if formats.is_empty() && self.input.overrides.output_dir.is_some() {
            let hint = "choose formats with `outputs` in that line, or with `--export`";
            return Err(self.fault("has an `output_dir` but no formats", hint));
        }
        let folder = self.folder();
        let output = |format: &Format| {
            let pieces = match &self.options.template {
                Some(template) => template.fill(|field| self.value(field, *format))?,
                None => self.default_name(*format),
            };
            Ok((*format, OutputPattern::new(folder.clone(), pieces)))
        };
        formats.iter().map(output).collect()
    }

    /// Returns the stem of the input, with the language if it is wanted, and the extension of the format.
    fn default_name(&self, format: Format) -> Vec<OsString> {
        let name = self.file().and_then(Path::file_name).filter(|_| self.input.keeps_extension);
        let mut stem = name.unwrap_or_else(|| self.stem()).to_owned();
        let extension = OsString::from(format!(".{}", format.name()));
        if !self.options.language_in_name {
            stem.push(extension);
            return vec![stem];
        }
        stem.push(".");
        match self.language() {
            Some(language) => {
                stem.push(language);
                stem.push(extension);
                vec![stem]
            }
            None => vec![stem, extension],
        }
    }

    /// Returns the language of the text, if it is known before the recording is heard.
    fn language(&self) -> Option<&'static str> {
        let decode = &self.settings?.decode;
        match decode.task {
            Task::Translate => Some("en"),
            Task::Transcribe => decode.language.map(|language| language.code()),
        }
    }

    fn fault(&self, why: &str, hint: &str) -> Error {
        fault(format!("`{}`", self.input.source.name()), why, hint)
    }

    fn file(&self) -> Option<&Path> {
        match &self.input.source {
            InputSource::Stdin => None,
            InputSource::File(path) => Some(path),
        }
    }

    fn stem(&self) -> &OsStr {
        self.file().map_or(OsStr::new("stdin"), |path| path.file_stem().unwrap_or(path.as_os_str()))
    }

    /// Returns the folder of the input, or the output folder with the subfolders of the input.
    fn folder(&self) -> PathBuf {
        let options = self.options;
        match (self.input.overrides.output_dir.as_ref().or(options.output_dir.as_ref()), self.file()) {
            (Some(folder), _) if options.flat || options.template.is_some() => folder.clone(),
            (Some(folder), _) => folder.join(&self.input.subfolder),
            (None, Some(path)) => path.parent().map(Path::to_path_buf).unwrap_or_default(),
            (None, None) => PathBuf::new(),
        }
    }

    /// Returns the value of a field; none if it is the language and not known yet.
    fn value(&self, field: Field, format: Format) -> Result<Option<OsString>> {
        let settings = |what: &str| {
            let hint = "leave it out of `--output-template`";
            self.settings.ok_or_else(|| self.fault(&format!("has no {what} to name it after"), hint))
        };
        Ok(Some(match field {
            Field::Stem => self.stem().into(),
            Field::Name => {
                self.file().and_then(Path::file_name).map_or_else(|| self.stem().into(), OsStr::to_owned)
            }
            Field::Parent => self.parent(),
            Field::Dir => match self.input.subfolder.as_os_str() {
                folder if folder.is_empty() => ".".into(),
                subfolder => subfolder.to_owned(),
            },
            Field::Ext => format.name().into(),
            Field::Date => self.date().into(),
            Field::Index => self.index.to_string().into(),
            Field::Task => match settings("task")?.decode.task {
                Task::Transcribe => "transcribe".into(),
                Task::Translate => "translate".into(),
            },
            Field::Model => model_part(&settings("model")?.model.name).into(),
            Field::Language => return Ok(self.language().map(OsString::from)),
            Field::Id => {
                let hint =
                    "give each line of the manifest an `id`, or leave `{id}` out of `--output-template`";
                let id = self.input.overrides.id.as_ref().ok_or_else(|| self.fault("has no `id`", hint))?;
                file_name_part(id).into()
            }
        }))
    }

    fn parent(&self) -> OsString {
        let folder = match self.file().and_then(Path::parent) {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let name = folder.file_name().map(OsStr::to_owned);
        let real = || Some(folder.canonicalize().ok()?.file_name()?.to_owned());
        name.or_else(real).unwrap_or_else(|| ".".into())
    }

    /// Returns the date of the recording: the same command names the same outputs the next day.
    fn date(&self) -> String {
        let modified = self.file().and_then(|path| path.metadata().ok()?.modified().ok());
        let moment = Timestamp::try_from(modified.unwrap_or_else(SystemTime::now));
        let zoned = moment.map_or_else(|_| Zoned::now(), |moment| moment.to_zoned(TimeZone::system()));
        zoned.date().to_string()
    }
}

/// Returns a model's name as part of a file name.
fn model_part(name: &str) -> String {
    let folder = Path::new(name).is_dir().then(|| Path::new(name).file_name()).flatten();
    folder.map_or_else(|| file_name_part(name), |folder| file_name_part(&folder.to_string_lossy()))
}

/// Replaces what would lead to other folders or devices.
fn file_name_part(text: &str) -> String {
    let part: String =
        text.chars().map(|c| if c.is_control() || "/\\:".contains(c) { '-' } else { c }).collect();
    if part.chars().all(|c| c == '.') { "-".repeat(part.len()) } else { part }
}
