//! Settings from `transcribe.toml`: below the command line and the environment, above the defaults.
//!
//! A value of the file becomes the default of its option, so clap reads it as it reads one from the command line.

mod blame;
mod document;
mod listing;
mod resolve;

use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use etcetera::BaseStrategy;

use self::document::File;
use self::resolve::Setting;
use crate::error::Error;

pub use self::blame::blame;
pub use self::listing::listing;

/// Why there is nothing to do: told by clap, which is also help, or in our own words.
pub enum Refusal {
    CommandLine(clap::Error),
    Told(Vec<Error>),
}

impl From<clap::Error> for Refusal {
    fn from(error: clap::Error) -> Self {
        Refusal::CommandLine(error)
    }
}

impl From<Vec<Error>> for Refusal {
    fn from(errors: Vec<Error>) -> Self {
        Refusal::Told(errors)
    }
}

/// Commands that work without settings, also where the file is wrong.
const WITHOUT_FILE: [&str; 2] = ["completions", "man"];

/// What the file says, once it is known to be right.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    settings: Vec<Setting>,
}

impl Settings {
    /// Reads the file that the command line, the environment or the system names. All that is wrong is told at once.
    pub fn load(command: &Command, said: &ArgMatches) -> Result<Self, Vec<Error>> {
        if said.subcommand_name().is_some_and(|name| WITHOUT_FILE.contains(&name)) {
            return Ok(Self::default());
        }
        let one = |error| vec![error];
        let Some((path, named)) = place(said).map_err(one)? else { return Ok(Self::default()) };
        let Some(file) = File::read(&path, named).map_err(one)? else { return Ok(Self::default()) };
        let settings = resolve::resolve(command, &file)?;
        resolve::check_pairs(command, &file, &settings)?;
        Ok(Self { path: Some(path), settings })
    }

    /// The command with the file's values as defaults, but for those that contradict what was said.
    pub fn apply(&self, command: Command, said: &ArgMatches) -> Command {
        resolve::apply(command, said, &[], &self.settings)
    }

    /// Whether an option has its value from here, if nobody else gave it one.
    pub fn says(&self, id: &str) -> bool {
        self.settings.iter().any(|setting| setting.id == id)
    }

    /// All of them but one.
    fn without(&self, left_out: usize) -> Self {
        let mut other = self.clone();
        other.settings.remove(left_out);
        other
    }
}

/// The file, and whether somebody asked for it by name. What was said beats what the environment says.
fn place(said: &ArgMatches) -> Result<Option<(PathBuf, bool)>, Error> {
    let line = |id: &str| said.value_source(id) == Some(ValueSource::CommandLine);
    let (named, none) = (said.get_one::<PathBuf>("config"), said.get_flag("no_config"));
    match named {
        Some(_) if none && line("config") && line("no_config") => {
            Err(Error::usage("`--config`", "cannot be used with `--no-config`"))
        }
        Some(path) if !none || (line("config") && !line("no_config")) => Ok(Some((path.clone(), true))),
        _ if none => Ok(None),
        _ => Ok(usual_place().map(|path| (path, false))),
    }
}

/// In the user's configuration folder.
pub fn usual_place() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("transcribe").join("transcribe.toml"))
}

/// `path`, line n
fn at(path: &Path, line: usize) -> String {
    format!("`{}`, line {line}", path.display())
}
