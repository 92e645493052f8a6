//! Which options were set, and to what.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// Options that the command line or the environment set, by name, with their values as they were said.
pub fn options(command: &Command, matches: &ArgMatches) -> Vec<(String, Vec<String>)> {
    let said = |arg: &clap::Arg| {
        let (id, name) = (arg.get_id().as_str(), arg.get_long()?);
        matches.try_contains_id(id).ok().filter(|is_there| *is_there)?;
        matches.value_source(id).filter(|source| *source != ValueSource::DefaultValue)?;
        let values = matches.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
        Some((name.to_owned(), values.collect()))
    };
    command.get_arguments().filter_map(said).collect()
}
