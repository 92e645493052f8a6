//! The options of a job: those of the command line that decide its transcript or how that looks, with the same names,
//! values and messages.

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::{Arg, CommandFactory};
use serde_json::{Map, Value};

use crate::cli::args::{CommandLine, PlainLine, apply_opposites};
use crate::cli::usage_error;
use crate::error::{Error, Result};
use crate::plan::InputOptions;
use crate::serve::JobSettings;

/// Headings of options that jobs may set.
const HEADINGS: [&str; 7] =
    ["Subtitles", "Speech", "Audio", "Speakers", "Parts of a recording", "Decoding", "Words"];
/// Options under other headings that jobs may set.
const FURTHER: [&str; 3] = ["export", "json-style", "html-audio"];
/// Options that name files of the server, or that only make sense for a whole run.
const FORBIDDEN: [&str; 5] = ["voices", "speakers-model", "vad-report", "fail-under-coverage", "decoder"];

/// Turns the options of jobs into settings, on top of those of the server.
pub struct JobOptions {
    command: clap::Command,
    /// The server's own options, as words of a command line.
    base: BTreeMap<String, Vec<OsString>>,
}

impl JobOptions {
    /// `explicit` are the options that the server was started with.
    pub fn new(explicit: &[(String, Vec<String>)]) -> Result<Self> {
        let command = CommandLine::command().mut_args(|arg| arg.env(None));
        let mut options = Self { command, base: BTreeMap::new() };
        for (name, values) in explicit {
            let Some(arg) = options.find(name).filter(|arg| is_for_jobs(arg) || is_of_server(arg)) else {
                continue;
            };
            let words = values.iter().flat_map(|value| words(arg, name, value)).collect();
            options.base.insert(name.clone(), words);
        }
        Ok(options)
    }

    fn find(&self, name: &str) -> Option<&Arg> {
        let is_called = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().unwrap_or_default().contains(&name)
        };
        self.command.get_arguments().find(is_called)
    }

    /// Returns the settings of a job.
    pub fn settings(&self, options: &Map<String, Value>) -> Result<JobSettings> {
        let mut all = self.base.clone();
        for (given, value) in options {
            let name = given.replace('_', "-");
            let arg = self.find(given).or_else(|| self.find(&name)).filter(|arg| is_for_jobs(arg));
            let Some(arg) = arg else { return Err(self.unknown(given, &name)) };
            let long = arg.get_long().unwrap_or(&name).to_owned();
            let text = text(given, value)?;
            all.insert(long.clone(), text.map_or_else(Vec::new, |text| words(arg, &long, &text)));
        }
        let mut line: Vec<OsString> = vec![env!("CARGO_PKG_NAME").into(), "-".into()];
        line.extend(all.into_values().flatten());
        let PlainLine { line, .. } = apply_opposites(&self.command, line);
        let parsed = CommandLine::parse_isolated(line.clone()).map_err(|error| {
            let explained = usage_error::explain(&error, &self.command, &line);
            explained.unwrap_or_else(|| Error::usage("options", error.to_string()))
        })?;
        // How words are shown matters only where there are words.
        let request = parsed.transcribe.request(Vec::new(), InputOptions::default(), true)?;
        Ok(JobSettings { input: request.plan.settings, export: request.plan.export })
    }

    fn unknown(&self, given: &str, name: &str) -> Error {
        if self.find(name).is_some() || self.find(given).is_some() {
            return Error::usage(format!("`{given}`"), "is an option of the server, not of a job");
        }
        let names = self.command.get_arguments().filter(|arg| is_for_jobs(arg)).filter_map(Arg::get_long);
        let near = names
            .map(|known| (strsim::jaro_winkler(name, known), known))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(similarity, _)| *similarity > 0.8);
        Error::Usage {
            what: format!("`{given}`"),
            why: "is no field and no option".into(),
            hint: near.map(|(_, known)| format!("did you mean `{known}`?")),
        }
    }
}

/// Whether a job may set the option.
fn is_for_jobs(arg: &Arg) -> bool {
    let Some(name) = arg.get_long() else { return false };
    let has_heading = arg.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading));
    (has_heading || FURTHER.contains(&name)) && !FORBIDDEN.contains(&name)
}

/// Whether the option of the server also counts for its jobs.
fn is_of_server(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|name| ["voices", "speakers-model", "decoder"].contains(&name))
}

/// Returns the words that set an option on a command line.
fn words(arg: &Arg, name: &str, value: &str) -> Vec<OsString> {
    let takes_value = arg.get_action().takes_values();
    match (takes_value, value) {
        (true, value) => vec![format!("--{name}={value}").into()],
        (false, "false" | "False" | "0" | "no" | "off" | "") => Vec::new(),
        (false, _) => vec![format!("--{name}").into()],
    }
}

/// Returns a value as it is written on the command line; none if it is not given.
fn text(name: &str, value: &Value) -> Result<Option<String>> {
    let of_one = |value: &Value| match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let wrong =
        || Error::usage(format!("`{name}`"), "must be a text, a number, true, false, or a list of these");
    match value {
        Value::Null => Ok(None),
        Value::Array(values) => {
            let texts = values.iter().map(of_one).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
            Ok(Some(texts.join(",")))
        }
        value => of_one(value).map(Some).ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode::Task;

    fn settings(explicit: &[(&str, &str)], options: Value) -> Result<JobSettings> {
        let explicit: Vec<(String, Vec<String>)> =
            explicit.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect();
        let Value::Object(options) = options else { panic!() };
        JobOptions::new(&explicit).unwrap().settings(&options)
    }

    #[test]
    fn jobs_set_options_of_the_command_line_on_top_of_the_servers() {
        let explicit = [("language", "de"), ("vad", "true"), ("model", "small"), ("listen", "1")];
        let from_server = settings(&explicit, json!({})).unwrap();
        assert_eq!(from_server.input.decode.language.unwrap().code(), "de");
        assert!(from_server.input.selection.vad.is_some());
        let job = json!({"language": "French", "vad": false, "task": "translate", "temperature": 0.4,
            "chunk_length": 60, "max-line-width": 30, "speakers": "auto", "initial_prompt": "--model x",
            "clip-timestamps": [0, 10]});
        let job = settings(&explicit, job).unwrap();
        assert_eq!(job.input.decode.language.unwrap().code(), "fr");
        assert_eq!(job.input.decode.task, Task::Translate);
        assert_eq!(job.input.decode.temperatures[0], 0.4);
        assert_eq!(job.input.decode.initial_prompt.as_deref(), Some("--model x"));
        assert!(job.input.selection.vad.is_none() && job.input.speakers.is_some());
        assert_eq!((job.input.chunk_length, job.export.max_line_width), (60.0, Some(30)));
    }

    #[test]
    fn faults_name_the_option() {
        let cases = [
            (json!({"langauge": "de"}), "`langauge`: is no field and no option"),
            (json!({"language": "klingon"}), "klingon"),
            (json!({"device": "cuda"}), "`device`: is an option of the server"),
            (json!({"voices": "/etc"}), "`voices`: is an option of the server"),
            (json!({"report": "/etc/passwd"}), "`report`: is an option of the server"),
            (json!({"output_dir": "/etc"}), "`output_dir`: is an option of the server"),
            (json!({"help": true}), "`help`"),
            (json!({"beam-size": "many"}), "many"),
            (json!({"export": "docx"}), "docx"),
            (json!({"vad": {}}), "`vad`: must be a text"),
        ];
        for (options, expected) in cases {
            let error = settings(&[], options.clone()).unwrap_err().to_string();
            assert!(error.contains(expected), "{options}: {error}");
        }
    }
}
