//! Takes over command lines of openai-whisper: options that need nothing here, spellings that mean something else, and
//! values such as `None`.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;

use clap::Command;

use crate::cli::foreign_options::equivalent;
use crate::error::{Error, Result};
use crate::export::Format;

/// The formats that openai's program writes by default.
const ALL_OF_OPENAI: &str = "txt,vtt,srt,tsv,json";
/// Options that take `None` for their default.
const OPTIONAL: [&str; 6] = [
    "--beam_size",
    "--patience",
    "--length_penalty",
    "--max_line_width",
    "--max_line_count",
    "--max_words_per_line",
];

/// A command line as this program takes it.
#[derive(Debug, Default)]
pub struct PortedLine {
    pub line: Vec<OsString>,
    /// What was understood differently, for the user.
    pub notes: Vec<String>,
}

/// Translates a command line. Options of further programs are refused with what does the same here.
pub fn translate(command: &Command, line: Vec<OsString>) -> Result<PortedLine> {
    let mut words: VecDeque<OsString> = line.into();
    let mut ported = PortedLine { line: words.pop_front().into_iter().collect(), ..PortedLine::default() };
    if words.front().is_some_and(|word| command.find_subcommand(word).is_some()) {
        ported.line.extend(words);
        return Ok(ported);
    }
    let mut model_dir = None;
    while let Some(word) = words.pop_front() {
        if word == "--" {
            ported.line.push(word);
            ported.line.extend(words);
            break;
        }
        let text = word.to_str().unwrap_or_default();
        if let Some((program, here)) = equivalent(text) {
            return Err(Error::Usage {
                what: format!("`{text}`"),
                why: format!("an option of {program}"),
                hint: Some(format!("here: {here}")),
            });
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, words.front().and_then(|next| next.to_str()).map(str::to_owned)),
        };
        let replacement = replacement(name, value.as_deref(), &mut ported.notes, &mut model_dir);
        match replacement {
            None => ported.line.push(word),
            Some(words_instead) => {
                if !text.contains('=') {
                    words.pop_front();
                }
                ported.line.extend(words_instead.into_iter().map(OsString::from));
            }
        }
    }
    ported.default_formats();
    if let Some(folder) = model_dir {
        ported.find_model(Path::new(&folder));
    }
    Ok(ported)
}

/// Returns what an option and its value stand for; none if they mean the same here.
fn replacement(
    name: &str,
    value: Option<&str>,
    notes: &mut Vec<String>,
    model_dir: &mut Option<String>,
) -> Option<Vec<String>> {
    let value = value?;
    let truth = match value {
        "True" | "true" => Some(true),
        "False" | "false" => Some(false),
        _ => None,
    };
    match name {
        "--fp16" => {
            let is_half = truth?;
            notes.push(format!(
                "`--fp16 {value}`: `--dtype` chooses the numbers here, f16 on a GPU by default"
            ));
            Some(if is_half { Vec::new() } else { vec!["--dtype".into(), "f32".into()] })
        }
        "--verbose" if matches!(value, "True" | "False" | "None") => {
            notes.push(format!(
                "`--verbose {value}` has no effect here: see `--quiet`, `--verbose` and `--timestamps`"
            ));
            Some(Vec::new())
        }
        "--model_dir" => {
            *model_dir = Some(value.to_owned());
            Some(Vec::new())
        }
        "--threads" if value == "0" => Some(Vec::new()),
        "--best_of" if value == "None" => Some(vec!["--best-of".into(), "1".into()]),
        name if value == "None" && OPTIONAL.contains(&name) => Some(Vec::new()),
        // whisper.cpp's input.
        "-f" if Format::parse_list(value).is_err() && Path::new(value).exists() => {
            notes.push(format!("`-f {value}`: taken as an input; `-f` is short for `--export`"));
            Some(vec![value.to_owned()])
        }
        _ => None,
    }
}

impl PortedLine {
    fn has(&self, names: &[&str]) -> bool {
        let is_named = |word: &OsString| {
            word.to_str().is_some_and(|word| names.contains(&word.split('=').next().unwrap_or(word)))
        };
        self.line.iter().any(is_named)
    }

    /// Adds the formats that openai's program writes if only its spelling of the folder is given.
    fn default_formats(&mut self) {
        let chooses = ["-e", "-f", "--export", "--output_format"];
        if self.has(&["--output_dir"]) && !self.has(&chooses) {
            self.notes.push(format!("`--output_dir` without `--output_format`: writing {ALL_OF_OPENAI}"));
            self.line.splice(1..1, ["--export", ALL_OF_OPENAI].map(OsString::from));
        }
    }

    /// Takes the model from a folder of openai's, if it is there.
    fn find_model(&mut self, folder: &Path) {
        let position = self.line.iter().position(|word| word == "--model" || word == "-m");
        let named = position.and_then(|position| Some((position + 1, self.line.get(position + 1)?.clone())));
        let name = named.as_ref().and_then(|(_, name)| name.to_str()).unwrap_or("turbo").to_owned();
        let published = match name.as_str() {
            "turbo" => "large-v3-turbo",
            "large" => "large-v3",
            name => name,
        };
        let file = folder.join(format!("{published}.pt"));
        if !file.is_file() {
            let folder = folder.display();
            self.notes.push(format!(
                "`--model_dir {folder}`: it has no `{published}.pt`; the model is looked for as usual"
            ));
            return;
        }
        match named {
            Some((position, _)) => self.line[position] = file.into_os_string(),
            None => drop(self.line.splice(1..1, ["--model".into(), file.into_os_string()])),
        }
    }
}
