//! Settings from `transcribe.toml`, which override defaults and are overridden by the environment and the command line.
//!
//! A setting becomes the default value of its option, so that clap parses it like a value from the command line.

mod document;
mod listing;
mod resolve;

#[cfg(feature = "testing")]
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use etcetera::BaseStrategy;

use self::document::ConfigFile;
use self::resolve::ConfigSetting;
#[cfg(feature = "testing")]
use crate::cli::CommandLine;
use crate::error::Error;

pub use self::listing::listing;

/// The commands that do not read the file, so that they work even if it is wrong.
const WITHOUT_FILE: [&str; 2] = ["completions", "man"];

/// The settings of a valid configuration file.
#[derive(Debug, Clone, Default)]
pub struct ConfigSettings {
    /// The path of the file, if there is one.
    pub path: Option<PathBuf>,
    settings: Vec<ConfigSetting>,
}

impl ConfigSettings {
    /// Reads the file that the command line, the environment or the system names; returns all errors at once.
    pub fn load(command: &Command, given: &ArgMatches) -> Result<Self, Vec<Error>> {
        if given.subcommand_name().is_some_and(|name| WITHOUT_FILE.contains(&name)) {
            return Ok(Self::default());
        }
        let single = |error| vec![error];
        let Some((path, named)) = find(given).map_err(single)? else { return Ok(Self::default()) };
        let Some(file) = ConfigFile::read(&path, named).map_err(single)? else { return Ok(Self::default()) };
        let settings = resolve::resolve(command, &file)?;
        resolve::check_conflicts(command, &file, &settings)?;
        Ok(Self { path: Some(path), settings })
    }

    /// Makes the settings the defaults of the command, except for those that conflict with explicit options.
    pub fn apply(&self, command: Command, given: &ArgMatches) -> Command {
        resolve::apply(command, given, &[], &self.settings)
    }

    /// Returns whether the file sets this option.
    pub fn contains(&self, id: &str) -> bool {
        self.settings.iter().any(|setting| setting.id == id)
    }

    /// Returns the settings of all options but these.
    pub fn without_options(&self, options: &[impl AsRef<str>]) -> Self {
        let mut other = self.clone();
        other.settings.retain(|setting| !options.iter().any(|option| option.as_ref() == setting.id.as_str()));
        other
    }

    /// Returns all settings but one.
    fn without(&self, index: usize) -> Self {
        let mut other = self.clone();
        other.settings.remove(index);
        other
    }
}

/// Reads a configuration file as a run does; for tests.
#[cfg(feature = "testing")]
pub fn check_settings(path: &Path) -> Result<(), Vec<Error>> {
    let command = CommandLine::described();
    let line = [OsStr::new("transcribe"), OsStr::new("--config"), path.as_os_str(), OsStr::new("talk.mp3")];
    let given = command.clone().try_get_matches_from(line);
    let given = given.map_err(|error| vec![Error::usage("the command line", error.to_string())])?;
    let settings = ConfigSettings::load(&command, &given)?;
    // Values are parsed as those of the command line.
    let parsed = settings.apply(command, &given).try_get_matches_from(line).map(drop);
    parsed
        .map_err(|error| vec![locate_error(Error::usage("the file", error.to_string()), &settings, |_| None)])
}

/// Returns the path of the file, and whether it was named explicitly. The command line overrides the environment.
fn find(given: &ArgMatches) -> Result<Option<(PathBuf, bool)>, Error> {
    let on_line = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let (named, none) = (given.get_one::<PathBuf>("config"), given.get_flag("no_config"));
    match named {
        Some(_) if none && on_line("config") && on_line("no_config") => {
            Err(Error::usage("`--config`", "cannot be used with `--no-config`"))
        }
        Some(path) if !none || (on_line("config") && !on_line("no_config")) => Ok(Some((path.clone(), true))),
        _ if none => Ok(None),
        _ => Ok(default_path().map(|path| (path, false))),
    }
}

/// Returns the path in the user's configuration folder.
pub fn default_path() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.config_dir().join("transcribe").join("transcribe.toml"))
}

/// Formats a position in the file for messages.
fn position(path: &Path, line: usize) -> String {
    format!("`{}`, line {line}", path.display())
}

/// Names the setting without which an error would not occur, if there is one. `fails` returns the error that other
/// settings lead to.
pub fn locate_error(
    error: Error,
    settings: &ConfigSettings,
    fails: impl Fn(&ConfigSettings) -> Option<Error>,
) -> Error {
    let (Error::Usage { why, hint, .. }, Some(path)) = (&error, &settings.path) else { return error };
    let is_cause = |index: &usize| {
        fails(&settings.without(*index)).is_none_or(|other| other.to_string() != error.to_string())
    };
    let Some(cause) = (0..settings.settings.len()).find(is_cause) else { return error };
    let setting = &settings.settings[cause];
    let table =
        if setting.tables.is_empty() { String::new() } else { format!("[{}] ", setting.tables.join(".")) };
    let what = format!("{}: `{table}{} = {}`", position(path, setting.line), setting.key, setting.written);
    Error::Usage { what, why: why.clone(), hint: hint.clone() }
}
