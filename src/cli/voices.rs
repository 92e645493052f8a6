//! `transcribe voices`: keeps the folder of known voices that `--voices` reads.

use std::fs;
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::ExitCode;
use super::printer::Printer;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::speakers::Networks;
use crate::speakers::voices::{VoiceSamples, learn, learn_one, samples_in};

const EXAMPLES: &str = "Examples:
  transcribe voices enroll Anna anna1.wav anna2.m4a --voices people    learn a voice
  transcribe voices list --voices people                               who is known
  transcribe talk.mp3 --speakers auto --voices people                  name speakers who sound like them

A voice needs ten seconds or more in which only that person speaks. The recordings are copied, so that voices can be
learned anew by other networks.";

/// Keep the voices of people whose names speakers shall get
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct VoicesArgs {
    #[command(subcommand)]
    command: VoicesCommand,
}

#[derive(Debug, Subcommand)]
enum VoicesCommand {
    /// Add recordings of a person
    Enroll(EnrollVoiceArgs),
    /// List the people whose voices are known
    List(ListVoicesArgs),
    /// Delete people and their recordings
    Remove(RemoveVoicesArgs),
}

#[derive(Debug, Args)]
struct FolderArgs {
    /// Folder with a folder of recordings for each person
    #[arg(long, env = "TRANSCRIBE_VOICES", value_name = "FOLDER", required = true)]
    voices: PathBuf,
}

#[derive(Debug, Args)]
struct EnrollVoiceArgs {
    /// Name of the person, as transcripts shall show it
    name: String,

    /// Recordings in which only this person speaks
    #[arg(required = true)]
    recordings: Vec<PathBuf>,

    #[command(flatten)]
    folder: FolderArgs,
}

#[derive(Debug, Args)]
struct ListVoicesArgs {
    #[command(flatten)]
    folder: FolderArgs,

    /// Print JSON
    #[arg(long, env = "TRANSCRIBE_JSON", value_parser = FalseyValueParser::new(), hide_env = true)]
    json: bool,
}

#[derive(Debug, Args)]
struct RemoveVoicesArgs {
    /// Names of people
    #[arg(required = true)]
    names: Vec<String>,

    #[command(flatten)]
    folder: FolderArgs,
}

pub fn run(args: &VoicesArgs, printer: Printer, cancel: &CancelToken) -> anyhow::Result<ExitCode> {
    match &args.command {
        VoicesCommand::Enroll(enroll) => enroll.run(printer, cancel)?,
        VoicesCommand::List(list) => list.run(printer)?,
        VoicesCommand::Remove(remove) => remove.run()?,
    }
    Ok(ExitCode::Done)
}

impl EnrollVoiceArgs {
    fn run(&self, printer: Printer, cancel: &CancelToken) -> Result<()> {
        check_name(&self.name)?;
        let networks = Networks::built_in();
        let samples = VoiceSamples { name: self.name.clone(), files: self.recordings.clone() };
        let voice = learn_one(&samples, &networks, cancel)?;
        if self.folder.voices.is_dir() {
            let others = learn(&self.folder.voices, &networks, cancel)?;
            for other in others.iter().filter(|other| other.name != voice.name && voice.sounds_like(other)) {
                printer.notice(&format!(
                    "`{}` sounds like `{}`: the names may be mixed up",
                    voice.name, other.name
                ));
            }
        }
        let folder = self.folder.voices.join(&self.name);
        let unwritable = |path: &Path, source| Error::Output { path: path.to_owned(), source };
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
        for recording in &self.recordings {
            // One that is there already was enrolled before.
            if fs::canonicalize(recording)
                .is_ok_and(|path| path.parent() == fs::canonicalize(&folder).ok().as_deref())
            {
                continue;
            }
            let to = free_name(&folder, recording);
            fs::copy(recording, &to).map_err(|error| unwritable(&to, error))?;
        }
        printer.notice(&format!("`{}` is known by {} recordings", self.name, self.recordings.len()));
        Ok(())
    }
}

impl ListVoicesArgs {
    fn run(&self, printer: Printer) -> Result<()> {
        let people = samples_in(&self.folder.voices)?;
        let text = match self.json {
            true => {
                let person =
                    |person: &VoiceSamples| json!({ "name": person.name, "recordings": person.files });
                people.iter().map(person).collect::<serde_json::Value>().to_string()
            }
            false => {
                let line =
                    |person: &VoiceSamples| format!("{}  {} recordings", person.name, person.files.len());
                people.iter().map(line).collect::<Vec<_>>().join("\n")
            }
        };
        match text.is_empty() {
            true => Ok(()),
            false => printer.result(&text),
        }
    }
}

impl RemoveVoicesArgs {
    fn run(&self) -> Result<()> {
        let people = samples_in(&self.folder.voices)?;
        for name in &self.names {
            if !people.iter().any(|person| person.name == *name) {
                let known: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
                return Err(Error::Usage {
                    what: format!("`{name}`"),
                    why: "is not among the known voices".into(),
                    hint: Some(format!("known are {}", known.join(", "))).filter(|_| !known.is_empty()),
                });
            }
        }
        for name in &self.names {
            let folder = self.folder.voices.join(name);
            fs::remove_dir_all(&folder).map_err(|source| Error::Output { path: folder, source })?;
        }
        Ok(())
    }
}

/// Returns a path in a folder for a copy of a recording, which replaces none that is there.
fn free_name(folder: &Path, recording: &Path) -> PathBuf {
    let name = |number: usize| {
        let mut name = recording.file_stem().unwrap_or_default().to_owned();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        folder.join(name).with_extension(recording.extension().unwrap_or_default())
    };
    let mut number = 1;
    while name(number).exists() {
        number += 1;
    }
    name(number)
}

/// Checks that a name can be that of a folder, and of one inside the folder of voices.
fn check_name(name: &str) -> Result<()> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '\0']);
    match is_plain && name.len() <= 200 {
        true => Ok(()),
        false => Err(Error::Usage {
            what: format!("`{name}`"),
            why: "cannot be the name of a folder".into(),
            hint: Some("use a name without slashes that does not begin with a dot".into()),
        }),
    }
}
