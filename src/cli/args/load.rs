//! From words to arguments: the command line, the environment and the configuration file, and who said what.

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches};

use super::{Args, Command, explicit};
use crate::cli::config::{self, Refusal, Settings};
use crate::cli::{doctor, usage_error};
use crate::error::{Error, Result};

/// Where the values come from.
#[derive(Debug, Default)]
pub struct Source {
    line: Vec<OsString>,
    settings: Settings,
    /// What `--print-config` tells.
    listing: Option<String>,
    /// What is wrong with the file, for the doctor alone.
    faults: Vec<Error>,
}

impl Args {
    /// What was said on the command line, in the environment and in the configuration file.
    pub fn read() -> Result<Self, Refusal> {
        let line: Vec<OsString> = std::env::args_os().collect();
        let command = Self::described_for(&line);
        let said =
            command.clone().try_get_matches_from(&line).map_err(|error| {
                match usage_error::explain(&error, &command, &line) {
                    Some(error) => Refusal::Told(vec![error]),
                    None => Refusal::CommandLine(error),
                }
            })?;
        if let Some(error) = usage_error::mistyped_command(&command, &said, &line) {
            return Err(Refusal::Told(vec![error]));
        }
        let (settings, faults) = match Settings::load(&command, &said) {
            Err(faults) if said.subcommand_name() == Some("doctor") => (Settings::default(), faults),
            loaded => (loaded?, Vec::new()),
        };
        let mut args = Self::with(line, settings)?;
        args.source.faults = faults;
        Ok(args)
    }

    /// What the words mean if nothing else was said, in the environment or in a file.
    pub fn plain(line: Vec<OsString>) -> Result<Self> {
        let command = Self::command().mut_args(|arg| arg.env(None));
        let matches = command.try_get_matches_from(line);
        let args = matches.and_then(|matches| Self::from_arg_matches(&matches));
        args.map_err(|error| Error::compute("reading options", error))
    }

    fn with(line: Vec<OsString>, settings: Settings) -> Result<Self, clap::Error> {
        let command = Self::described_for(&line);
        let said = command.clone().try_get_matches_from(&line)?;
        let command = settings.apply(command, &said);
        let matches = command.clone().try_get_matches_from(&line)?;
        let mut args = Self::from_arg_matches(&matches)?;
        let listing = args.config.print_config.then(|| config::listing(&command, &matches, &settings));
        args.said = match (&args.command, matches.subcommand()) {
            (Some(Command::Watch(_)), Some((name, inner))) => {
                command.find_subcommand(name).map(|command| explicit::options(command, inner, &settings))
            }
            _ => Some(explicit::options(&command, &matches, &settings)),
        }
        .unwrap_or_default();
        args.source = Source { line, settings, listing, faults: Vec::new() };
        Ok(args)
    }

    /// Of the configuration file, for the doctor.
    pub fn config_report(&self) -> doctor::Config {
        let Source { settings, faults, .. } = &self.source;
        doctor::Config {
            path: settings.path.clone().or_else(config::usual_place),
            is_used: settings.path.is_some(),
            faults: faults.iter().map(ToString::to_string).collect(),
        }
    }

    /// What is to be printed instead of doing anything.
    pub fn listing(&self) -> Option<&str> {
        self.source.listing.as_deref()
    }

    /// Tells of an error by which setting of the file it came, if by one; `made` makes the same of other arguments.
    pub fn blame<T>(&self, error: Error, made: impl Fn(&Self) -> Result<T>) -> Error {
        config::blame(error, &self.source.settings, |settings| {
            let other = Self::with(self.source.line.clone(), settings.clone()).ok()?;
            made(&other).err()
        })
    }

    /// Who only wants to see the settings need not name an input.
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
