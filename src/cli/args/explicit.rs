//! Which options were set, and to what, for the report.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use crate::cli::config::Settings;

/// Options that the command line, the environment or the file set, by name, with their values as they were said.
pub fn options(command: &Command, matches: &ArgMatches, settings: &Settings) -> Vec<(String, Vec<String>)> {
    let said = |arg: &clap::Arg| {
        let (id, name) = (arg.get_id().as_str(), arg.get_long()?);
        matches.try_contains_id(id).ok().filter(|is_there| *is_there)?;
        let source = matches.value_source(id)?;
        // What the file says comes as a default.
        if source == ValueSource::DefaultValue && !settings.says(id) {
            return None;
        }
        let values = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
        Some((name.to_owned(), values.collect()))
    };
    command.get_arguments().filter_map(said).collect()
}
