//! Loads the command line together with the environment and the configuration file, and keeps track of where each value
//! came from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::ineffective::{ignored_options, sets_word_options};
use super::porting::{self, PortedLine};
use super::switches::{PlainLine, apply_opposites};
use super::{BriefHelp, CliCommand, CommandLine, brief};
use crate::cli::config::{self, ConfigSettings};
use crate::cli::{doctor, usage_error};
use crate::error::{Error, Result};

/// Where the values come from.
#[derive(Debug, Default)]
pub struct ArgSources {
    line: Vec<OsString>,
    settings: ConfigSettings,
    /// The output of `--print-config`, if it was requested.
    config_listing: Option<String>,
    /// Errors in the configuration file that only `doctor` tolerates.
    config_errors: Vec<Error>,
    /// The command line sets an option that needs times of words.
    sets_word_options: bool,
    /// What of the command line was understood differently.
    notes: Vec<String>,
}

/// Why there is nothing to run.
pub enum LoadError {
    /// The short help.
    Brief(BriefHelp),
    /// A message of clap, which can also be the help.
    Clap(clap::Error),
    Usage(Vec<Error>),
}

impl From<clap::Error> for LoadError {
    fn from(error: clap::Error) -> Self {
        LoadError::Clap(error)
    }
}

impl From<Vec<Error>> for LoadError {
    fn from(errors: Vec<Error>) -> Self {
        LoadError::Usage(errors)
    }
}

impl CommandLine {
    /// Reads the command line of the process, the environment and the configuration file.
    pub fn load() -> Result<Self, LoadError> {
        let line: Vec<OsString> = std::env::args_os().collect();
        let has_manifest = std::env::var_os("TRANSCRIBE_MANIFEST").is_some();
        if let Some(brief) = brief::requested(&Self::described(), &line, has_manifest) {
            return Err(LoadError::Brief(brief));
        }
        let PortedLine { line, notes } =
            porting::translate(&Self::described(), line).map_err(|error| vec![error])?;
        let PlainLine { line: plain, off } = apply_opposites(&Self::described(), line.clone());
        let command = without_variables(Self::described_for(&plain), &off);
        let given =
            command.clone().try_get_matches_from(&plain).map_err(|error| {
                match usage_error::explain(&error, &command, &plain) {
                    Some(error) => LoadError::Usage(vec![error]),
                    None => LoadError::Clap(error),
                }
            })?;
        if let Some(error) = usage_error::mistyped_command(&command, &given, &plain) {
            return Err(LoadError::Usage(vec![error]));
        }
        let (settings, errors) = match ConfigSettings::load(&command, &given) {
            Err(errors) if given.subcommand_name() == Some("doctor") => (ConfigSettings::default(), errors),
            loaded => (loaded?, Vec::new()),
        };
        let mut args = Self::with_settings(line, &settings)?;
        args.sources.config_errors = errors;
        args.sources.notes = notes;
        Ok(args)
    }

    /// Parses a command line without the environment and the configuration file.
    pub fn parse_isolated(line: Vec<OsString>) -> Result<Self, clap::Error> {
        let command = Self::command().mut_args(|arg| arg.env(None));
        Self::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    fn with_settings(line: Vec<OsString>, listed: &ConfigSettings) -> Result<Self, clap::Error> {
        let PlainLine { line: plain, off } = apply_opposites(&Self::described(), line.clone());
        let command = without_variables(Self::described_for(&plain), &off);
        let listed = &listed.without_options(&off);
        let given = command.clone().try_get_matches_from(&plain)?;
        let configured = listed.apply(command.clone(), &given);
        let all = configured.clone().try_get_matches_from(&plain)?;
        let ignored = ignored_options(&all);
        let settings = listed.without_options(&ignored);
        let command = settings.apply(without_variables(command, &ignored), &given);
        let matches = command.clone().try_get_matches_from(&plain)?;
        let mut args = Self::from_arg_matches(&matches)?;
        let config_listing = args.config.print_config.then(|| config::listing(&configured, &all, listed));
        args.explicit_options = match (&args.command, matches.subcommand()) {
            (Some(CliCommand::Watch(_) | CliCommand::Serve(_)), Some((name, inner))) => {
                command.find_subcommand(name).map(|command| explicit_options(command, inner, &settings))
            }
            _ => Some(explicit_options(&command, &matches, &settings)),
        }
        .unwrap_or_default();
        let sets_word_options = sets_word_options(&matches);
        args.sources =
            ArgSources { line, settings, config_listing, sets_word_options, ..ArgSources::default() };
        Ok(args)
    }

    /// Describes the configuration file for `doctor`.
    pub fn config_report(&self) -> doctor::ConfigReport {
        let ArgSources { settings, config_errors, .. } = &self.sources;
        doctor::ConfigReport {
            path: settings.path.clone().or_else(config::default_path),
            is_used: settings.path.is_some(),
            faults: config_errors.iter().map(ToString::to_string).collect(),
        }
    }

    /// Returns the output of `--print-config`, if it was requested.
    pub fn config_listing(&self) -> Option<&str> {
        self.sources.config_listing.as_deref()
    }

    /// Names the setting of the configuration file that caused an error, if one did. `build` repeats what failed with
    /// other arguments.
    pub fn locate<T>(&self, error: Error, build: impl Fn(&Self) -> Result<T>) -> Error {
        config::locate_error(error, &self.sources.settings, |settings| {
            let other = Self::with_settings(self.sources.line.clone(), settings).ok()?;
            build(&other).err()
        })
    }

    /// Returns whether the command line, rather than a setting, asks for something that needs times of words.
    pub fn sets_word_options(&self) -> bool {
        self.sources.sets_word_options
    }

    /// Returns what of the command line was understood differently.
    pub fn notes(&self) -> &[String] {
        &self.sources.notes
    }

    /// Makes inputs optional for `--print-config`.
    fn described_for(line: &[OsString]) -> clap::Command {
        let command = Self::described();
        match line.iter().any(|word| word == "--print-config") {
            true => command.mut_args(|arg| match arg.is_positional() {
                true => arg.required(false).required_unless_present("print_config"),
                false => arg,
            }),
            false => command,
        }
    }
}

/// Makes the program and its commands ignore the environment variables of these options.
fn without_variables(command: clap::Command, options: &[impl AsRef<str>]) -> clap::Command {
    let ignore = |command: clap::Command| {
        command.mut_args(|arg| {
            if options.iter().any(|option| option.as_ref() == arg.get_id().as_str()) {
                arg.env(None)
            } else {
                arg
            }
        })
    };
    ignore(command).mut_subcommands(ignore)
}

/// Returns the options that the command line, the environment or the configuration file set, by name, with their values
/// as they were given.
fn explicit_options(
    command: &clap::Command,
    matches: &ArgMatches,
    settings: &ConfigSettings,
) -> Vec<(String, Vec<String>)> {
    let explicit = |arg: &clap::Arg| {
        let (id, name) = (arg.get_id().as_str(), arg.get_long()?);
        matches.try_contains_id(id).ok().filter(|is_present| *is_present)?;
        // Values of the configuration file are defaults to clap.
        if matches.value_source(id)? == ValueSource::DefaultValue && !settings.contains(id) {
            return None;
        }
        let values = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
        Some((name.to_owned(), values.collect()))
    };
    command.get_arguments().filter_map(explicit).collect()
}
