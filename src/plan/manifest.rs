//! Manifests: a JSON object per line for each input, which may override settings of the command line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::discovery::{InputOverrides, ResolvedInput, fault};
use super::unplanned::{UnplannedInput, unusable};
use super::{InputName, InputSource};
use super::{InputSettings, ModelRequest};
use crate::chunking::Clips;
use crate::decode::{Language, Task};
use crate::error::{Error, Result};
use crate::export::Format;

const KEYS: [&str; 9] =
    ["audio", "model", "language", "task", "prompt", "clip", "outputs", "output_dir", "id"];

type ManifestLine = Map<String, Value>;

/// What the lines of a manifest say.
#[derive(Debug, Default)]
pub struct Manifest {
    pub inputs: Vec<ResolvedInput>,
    /// Lines whose recording is not there.
    pub missing: Vec<UnplannedInput>,
    pub faults: Vec<Error>,
}

/// Reads all lines and returns all of their faults. Relative paths start at the folder.
pub fn read(manifest: &Path, folder: &Path, content: &[u8], settings: &Arc<InputSettings>) -> Manifest {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut reader = ManifestReader {
        folder,
        settings,
        shared: HashMap::new(),
        ids: HashMap::new(),
        location: String::new(),
    };
    let mut found = Manifest::default();
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        reader.location = format!("{}:{}", manifest.display(), index + 1);
        match reader.line(line) {
            Ok(Ok(input)) => found.inputs.push(input),
            Ok(Err(missing)) => found.missing.push(missing),
            Err(wrong) => found.faults.extend(wrong),
        }
    }
    found
}

struct ManifestReader<'a> {
    folder: &'a Path,
    settings: &'a Arc<InputSettings>,
    /// InputSettings of the lines so far, so that equal ones are shared.
    shared: HashMap<String, Arc<InputSettings>>,
    /// The line of each id.
    ids: HashMap<String, String>,
    /// File and line number.
    location: String,
}

impl ManifestReader<'_> {
    /// Returns the input of a line, or that its recording is not there.
    fn line(&mut self, line: &[u8]) -> Result<Result<ResolvedInput, UnplannedInput>, Vec<Error>> {
        let line: ManifestLine = match serde_json::from_slice(line) {
            Ok(Value::Object(line)) => line,
            Ok(_) => return Err(vec![self.fault("is not a JSON object", "write {\"audio\": \"talk.mp3\"}")]),
            Err(error) => {
                let why = format!("is not JSON: {error}");
                return Err(vec![self.fault(&why, "each line is an object: {\"audio\": \"talk.mp3\"}")]);
            }
        };
        let mut faults: Vec<Error> = line.keys().filter_map(|key| self.unknown_key(key)).collect();
        let mut keep = |fault| faults.push(fault);
        let source = self.audio(&line).map_err(&mut keep).ok();
        let id = self.id(&line).map_err(&mut keep).unwrap_or_default();
        let (formats, paths) = self.outputs(&line).map_err(&mut keep).unwrap_or_default();
        let files = |paths: &Vec<(Format, PathBuf)>| paths.iter().map(|(format, _)| *format).collect();
        let own_formats = formats.clone().or_else(|| paths.as_ref().map(files));
        let settings = self.settings(&line, own_formats.as_deref()).map_err(&mut keep).ok();
        let output_dir = self.text(&line, "output_dir").map_err(&mut keep).unwrap_or_default();
        let output_dir = output_dir.map(|output_dir| self.folder.join(output_dir));
        let missing = source.as_ref().and_then(|source| self.missing(source, id.as_ref()));
        match source {
            Some(_) if missing.is_some() && faults.is_empty() => missing.map(Err).ok_or(faults),
            Some(source) if faults.is_empty() => {
                let overrides = InputOverrides { id, settings, formats, paths, output_dir };
                let location = Some(self.location.clone());
                let input = ResolvedInput::new(source, PathBuf::new());
                Ok(Ok(ResolvedInput { overrides, location, ..input }))
            }
            _ => Err(missing.map(UnplannedInput::into_fault).into_iter().chain(faults).collect()),
        }
    }

    fn fault(&self, why: &str, hint: &str) -> Error {
        fault(format!("`{}`", self.location), why, hint)
    }

    /// Adds the location to a fault.
    fn located(&self, key: &str, error: &Error) -> Error {
        let hint = error.hint().unwrap_or_else(|| format!("correct `{key}` in that line"));
        self.fault(&format!("`{key}`: {error}"), &hint)
    }

    fn unknown_key(&self, key: &str) -> Option<Error> {
        if KEYS.contains(&key) {
            return None;
        }
        let near = |known: &&str| strsim::jaro_winkler(&key.to_lowercase(), known);
        let nearest = KEYS.into_iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|k| near(k) > 0.7);
        let nearest = nearest.map(|key| format!("did you mean `{key}`? ")).unwrap_or_default();
        let hint = format!("{nearest}valid keys are {}", KEYS.join(", "));
        Some(self.fault(&format!("unknown key `{key}`"), &hint))
    }

    /// Returns a string, or none if the key is missing or null.
    fn text<'l>(&self, line: &'l ManifestLine, key: &str) -> Result<Option<&'l str>> {
        match line.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if key == "prompt" || !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(self.fault(&format!("`{key}` is not a string"), "put it in quotation marks")),
        }
    }

    fn audio(&self, line: &ManifestLine) -> Result<InputSource> {
        let Some(audio) = self.text(line, "audio")? else {
            return Err(self.fault("`audio` is missing", "it names the recording: {\"audio\": \"talk.mp3\"}"));
        };
        if audio == "-" {
            return Ok(InputSource::Stdin);
        }
        let path = self.folder.join(audio);
        if path.is_dir() {
            let what = format!("`{}`: `{}`", self.location, path.display());
            return Err(fault(what, "is a folder", "a line of a manifest names one recording"));
        }
        Ok(InputSource::File(path))
    }

    /// Returns the failure of a recording that is not there.
    fn missing(&self, source: &InputSource, id: Option<&String>) -> Option<UnplannedInput> {
        let InputSource::File(path) = source else { return None };
        let why = unusable(path.metadata().err()?, Some(&format!("`{}`", self.location)));
        Some(UnplannedInput::new(InputName::new(source.name(), id.cloned()), why))
    }

    fn id(&mut self, line: &ManifestLine) -> Result<Option<String>> {
        let id = match line.get("id") {
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => self.text(line, "id")?.map(str::to_owned),
        };
        if let Some(id) = &id
            && let Some(first) = self.ids.insert(id.clone(), self.location.clone())
        {
            let why = format!("repeats the id `{id}` of `{first}`");
            return Err(self.fault(&why, "give each line its own id"));
        }
        Ok(id)
    }

    /// Reads the settings; `formats` are those of the line, if it has its own.
    fn settings(&mut self, line: &ManifestLine, formats: Option<&[Format]>) -> Result<Arc<InputSettings>> {
        let mut settings = InputSettings::clone(self.settings);
        if let Some(model) = self.text(line, "model")?.filter(|model| *model != settings.model.name) {
            // The revision belongs to the model it was given with.
            settings.model =
                ModelRequest { name: model.to_owned(), revision: None, hub: settings.model.hub.clone() };
        }
        match self.text(line, "language")? {
            Some(auto) if auto.eq_ignore_ascii_case("auto") => settings.decode.language = None,
            Some(name) => {
                let language = name.parse::<Language>().map_err(|error| self.located("language", &error))?;
                settings.decode.language = Some(language);
            }
            None => {}
        }
        if let Some(task) = self.text(line, "task")? {
            settings.decode.task = task.parse::<Task>().map_err(|error| self.located("task", &error))?;
        }
        if let Some(prompt) = self.text(line, "prompt")? {
            settings.decode.initial_prompt = Some(prompt.to_owned()).filter(|prompt| !prompt.is_empty());
        }
        if let Some(clips) = self.clips(line)? {
            settings.selection.clips = clips;
        }
        formats.iter().for_each(|formats| settings.time_words_for(formats));
        settings.decode.check().map_err(|error| self.located("line", &error))?;
        if settings == **self.settings {
            return Ok(Arc::clone(self.settings));
        }
        let (model, decode, clips) = (&settings.model.name, &settings.decode, &settings.selection.clips);
        let key = format!(
            "{model:?} {:?} {:?} {:?} {:?} {clips:?}",
            decode.language, decode.task, decode.initial_prompt, decode.word_times
        );
        Ok(Arc::clone(self.shared.entry(key).or_insert_with(|| Arc::new(settings))))
    }

    /// Reads clips as `--clip-timestamps` takes them, or as a list of numbers.
    fn clips(&self, line: &ManifestLine) -> Result<Option<Clips>> {
        let text = match line.get("clip") {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Array(times)) => {
                let times: Vec<String> =
                    times.iter().map(|time| time.as_str().map_or(time.to_string(), str::to_owned)).collect();
                times.join(",")
            }
            _ => match self.text(line, "clip")? {
                Some(text) => text.to_owned(),
                None => return Ok(None),
            },
        };
        text.parse::<Clips>().map(Some).map_err(|error| self.located("clip", &error))
    }

    /// Reads a list of formats, or the exact files by format.
    fn outputs(&self, line: &ManifestLine) -> Result<ManifestOutputs> {
        let hint = "write [\"srt\", \"txt\"], or {\"srt\": \"subtitles/talk.srt\"}";
        let format = |name: &str| name.parse::<Format>().map_err(|error| self.located("outputs", &error));
        match line.get("outputs") {
            None | Some(Value::Null) => Ok((None, None)),
            Some(Value::String(names)) => {
                let formats = Format::parse_list(names).map_err(|error| self.located("outputs", &error))?;
                Ok((Some(formats), None))
            }
            Some(Value::Array(names)) if !names.is_empty() && names.iter().all(Value::is_string) => {
                let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
                let formats =
                    Format::parse_list(&names.join(",")).map_err(|error| self.located("outputs", &error))?;
                Ok((Some(formats), None))
            }
            Some(Value::Object(paths)) if !paths.is_empty() => {
                let path = |(name, path): (&String, &Value)| {
                    let path = path.as_str().filter(|path| !path.is_empty());
                    let path =
                        path.ok_or_else(|| self.fault("`outputs` has a format without a file", hint))?;
                    Ok((format(name)?, self.folder.join(path)))
                };
                Ok((None, Some(paths.iter().map(path).collect::<Result<_>>()?)))
            }
            Some(_) => {
                Err(self
                    .fault("`outputs` is neither a list of formats nor an object of files by format", hint))
            }
        }
    }
}

/// Formats, or the exact files, or neither.
type ManifestOutputs = (Option<Vec<Format>>, Option<Vec<(Format, PathBuf)>>);
