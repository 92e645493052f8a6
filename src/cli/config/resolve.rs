//! Resolves the keys of the file to options and checks each value with the option's own parser.

use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};

use super::document::{ConfigEntry, ConfigFile, ConfigValue};
use super::position;
use crate::cli::usage_error::{help, nearest, reason};
use crate::error::Error;

/// The options that take several values separated by commas as one string; clap knows about the others.
const COMMA_LISTS: [&str; 4] = ["export", "clip-timestamps", "suppress-tokens", "device"];

/// The table that holds a table for each command; at the top level `export` is an option.
const COMMANDS: &str = "commands";

/// The options that select the file, or are not settings.
const NOT_IN_FILE: [&str; 5] = ["config", "no-config", "print-config", "help", "version"];

/// An option with a value from the file.
#[derive(Debug, Clone)]
pub struct ConfigSetting {
    /// The command whose option it is; empty for the program's own.
    pub tables: Vec<String>,
    pub id: Id,
    /// The option's environment variable.
    variable: Option<OsString>,
    pub key: String,
    pub values: Vec<String>,
    pub line: usize,
    pub written: String,
    /// Whether the value equals the default, so that it conflicts with nothing.
    is_default: bool,
}

/// Finds the option of every key and checks every value.
pub fn resolve(command: &Command, file: &ConfigFile) -> Result<Vec<ConfigSetting>, Vec<Error>> {
    let mut faults = Vec::new();
    let mut settings: Vec<ConfigSetting> = Vec::new();
    for entry in &file.entries {
        match setting(command, file, entry) {
            Ok(setting) => {
                let duplicate = settings.iter().find(|s| s.tables == setting.tables && s.id == setting.id);
                if let Some(other) = duplicate {
                    let why = format!("is already set as `{}` in line {}", other.key, other.line);
                    faults.push(fault(file, entry, &why, Some("remove one of them".into())));
                }
                settings.push(setting);
            }
            Err(error) => faults.push(error),
        }
    }
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn setting(root: &Command, file: &ConfigFile, entry: &ConfigEntry) -> Result<ConfigSetting, Error> {
    let mut command = root;
    let tables = match entry.tables.split_first() {
        None => &[],
        Some((first, tables @ [_, ..])) if first == COMMANDS => tables,
        Some((first, tables)) => {
            let name = if first == COMMANDS { &entry.key } else { tables.last().unwrap_or(first) };
            return Err(unknown_table(root, file, entry, name));
        }
    };
    for table in tables {
        command = command.find_subcommand(table).ok_or_else(|| unknown_table(root, file, entry, table))?;
    }
    let key = entry.key.replace('_', "-");
    if NOT_IN_FILE.contains(&key.as_str()) {
        let hint = format!("use `--{key}` on the command line");
        return Err(fault(file, entry, "cannot be set in the configuration file", Some(hint)));
    }
    let Some(arg) = option(command, &entry.key) else {
        return Err(unknown_key(root, command, file, entry));
    };
    let values = values(arg, &entry.value).map_err(|why| fault(file, entry, &why, help(arg)))?;
    try_parser(arg, &values).map_err(|(why, hint)| fault(file, entry, &why, hint.or_else(|| help(arg))))?;
    Ok(ConfigSetting {
        tables: tables.to_vec(),
        id: arg.get_id().clone(),
        variable: arg.get_env().map(OsString::from),
        key: entry.key.clone(),
        is_default: is_default(arg, &values),
        values,
        line: entry.line,
        written: entry.written.clone(),
    })
}

/// Returns the option with this long name, with dashes or underscores.
fn option<'c>(command: &'c Command, key: &str) -> Option<&'c Arg> {
    let long = key.replace('_', "-");
    let is_named = |arg: &&Arg, name: &str| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
    };
    command
        .get_arguments()
        .find(|arg| is_named(arg, &long))
        .or_else(|| command.get_arguments().find(|arg| is_named(arg, key)))
}

/// Converts a value for clap.
fn values(arg: &Arg, value: &ConfigValue) -> Result<Vec<String>, String> {
    let takes_words = |word: &str| arg.get_possible_values().iter().any(|value| value.matches(word, true));
    match value {
        ConfigValue::Table => Err("must be a value, not a table".into()),
        ConfigValue::Bool(value) if is_flag(arg) || takes_words("true") => Ok(vec![value.to_string()]),
        ConfigValue::Bool(_) => Err("must be a string or a number".into()),
        _ if is_flag(arg) => Err("must be `true` or `false`, without quotes".into()),
        ConfigValue::Text(text) => Ok(vec![text.clone()]),
        ConfigValue::List(list) => {
            let item = |value: &ConfigValue| match value {
                ConfigValue::Text(text) => Ok(text.clone()),
                _ => Err("must be a list of strings or numbers".to_owned()),
            };
            let list: Vec<String> = list.iter().map(item).collect::<Result<_, _>>()?;
            match arg.get_long() {
                _ if takes_several(arg) => Ok(list),
                Some(long) if COMMA_LISTS.contains(&long) => Ok(vec![list.join(",")]),
                _ => Err("must be a single value, not a list".into()),
            }
        }
    }
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

fn is_default(arg: &Arg, values: &[String]) -> bool {
    let defaults = arg.get_default_values();
    match is_flag(arg) {
        true => values == ["false"],
        false => {
            defaults.len() == values.len()
                && defaults.iter().zip(values).all(|(default, value)| default == value.as_str())
        }
    }
}

fn takes_several(arg: &Arg) -> bool {
    let most = arg.get_num_args().map_or(1, |range| range.max_values());
    matches!(arg.get_action(), ArgAction::Append) || most > 1 || arg.get_value_delimiter().is_some()
}

/// Parses the values with the option's own parser; an error is the reason and a suggestion.
fn try_parser(arg: &Arg, values: &[String]) -> Result<(), (String, Option<String>)> {
    if is_flag(arg) {
        return Ok(());
    }
    let none = || Resettable::<Id>::Reset;
    let alone = arg.clone().conflicts_with(none()).requires(none()).env(None).global(false);
    let long = arg.get_long().unwrap_or_default();
    let line = values.iter().map(|value| format!("--{long}={value}"));
    let command = Command::new("file").no_binary_name(true).disable_help_flag(true).arg(alone);
    command.try_get_matches_from(line).map(drop).map_err(|error| reason(&error))
}

fn unknown_table(root: &Command, file: &ConfigFile, entry: &ConfigEntry, name: &str) -> Error {
    let names = root.get_subcommands().map(Command::get_name);
    let hint = match nearest(&name.to_lowercase(), names) {
        Some(command) => format!("{} for settings of `transcribe {command}`", table_hint(command)),
        None => "most settings are outside of tables; `transcribe --print-config` lists them".into(),
    };
    let what = format!("{}: `[{}]`", position(&file.path, entry.table_line), entry.tables.join("."));
    Error::Usage { what, why: "unknown table".into(), hint: Some(hint) }
}

fn unknown_key(root: &Command, command: &Command, file: &ConfigFile, entry: &ConfigEntry) -> Error {
    let wanted = entry.key.replace('_', "-").to_lowercase();
    let names = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
    let nearest = nearest(&wanted, names.filter(|name| !NOT_IN_FILE.contains(name)));
    let owner = root.get_subcommands().find(|command| option(command, &wanted).is_some());
    let hint = match (nearest, owner.map(Command::get_name)) {
        (_, Some(owner)) => format!("{} for options of `transcribe {owner}`", table_hint(owner)),
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, _) => "keys are the long names of options; `transcribe --print-config` lists them".into(),
    };
    let what = format!("{}: `{}`", position(&file.path, entry.line), entry.key);
    Error::Usage { what, why: "unknown option".into(), hint: Some(hint) }
}

fn table_hint(command: &str) -> String {
    format!("use the table `[{COMMANDS}.{command}]`")
}

fn fault(file: &ConfigFile, entry: &ConfigEntry, why: &str, hint: Option<String>) -> Error {
    let what = format!("{}: `{} = {}`", position(&file.path, entry.line), entry.key, entry.written);
    Error::Usage { what, why: why.to_owned(), hint }
}

/// Rejects settings of the file that conflict with each other.
pub fn check_conflicts(
    command: &Command,
    file: &ConfigFile,
    settings: &[ConfigSetting],
) -> Result<(), Vec<Error>> {
    let mut faults = Vec::new();
    for (index, first) in settings.iter().enumerate().filter(|(_, setting)| !setting.is_default) {
        let rest = settings[index + 1..].iter().filter(|s| !s.is_default && s.tables == first.tables);
        let owner = first.tables.iter().try_fold(command, |command, table| command.find_subcommand(table));
        let Some(owner) = owner else { continue };
        faults.extend(rest.filter(|second| conflicts(owner, &first.id, &second.id)).map(|second| {
            let what =
                format!("{}: `{} = {}`", position(&file.path, second.line), second.key, second.written);
            let why = format!("cannot be used with `{}` in line {}", first.key, first.line);
            Error::Usage { what, why, hint: Some("remove one of them".into()) }
        }));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn conflicts(command: &Command, first: &Id, second: &Id) -> bool {
    let excludes = |one: &Id, other: &Id| {
        let arg = command.get_arguments().find(|arg| arg.get_id() == one);
        arg.is_some_and(|arg| command.get_arg_conflicts_with(arg).iter().any(|arg| arg.get_id() == other))
    };
    excludes(first, second) || excludes(second, first)
}

/// Makes the settings the defaults of the command in the nested `tables` and of the subcommand that was called.
pub fn apply(command: Command, given: &ArgMatches, tables: &[String], settings: &[ConfigSetting]) -> Command {
    // A subcommand shares options with the program by their environment variable; its own table takes precedence.
    let outer =
        settings.iter().filter(|setting| tables.starts_with(&setting.tables) && setting.tables != tables);
    let shared: Vec<(Id, &ConfigSetting)> =
        outer.filter_map(|setting| Some((shared_option(&command, setting)?, setting))).collect();
    let own = settings.iter().filter(|setting| setting.tables == tables);
    let all = shared.into_iter().chain(own.map(|setting| (setting.id.clone(), setting)));
    let command = all.fold(command, |command, (id, setting)| set_default(command, given, &id, setting));
    let Some((name, given)) = given.subcommand() else { return command };
    let inside = [tables, &[name.to_owned()]].concat();
    command.mut_subcommand(name, |inner| apply(inner, given, &inside, settings))
}

/// Returns the option of a subcommand that reads the same variable.
fn shared_option(inner: &Command, setting: &ConfigSetting) -> Option<Id> {
    let variable = setting.variable.as_ref()?;
    let option = inner.get_arguments().find(|arg| arg.get_env() == Some(variable.as_os_str()))?;
    (!option.is_global_set()).then(|| option.get_id().clone())
}

fn set_default(command: Command, given: &ArgMatches, id: &Id, setting: &ConfigSetting) -> Command {
    let explicit = |id: &Id| {
        let source = given.try_contains_id(id.as_str()).ok().and_then(|_| given.value_source(id.as_str()));
        source.is_some_and(|source| source != ValueSource::DefaultValue)
    };
    let is_excluded =
        command.get_arguments().any(|arg| explicit(arg.get_id()) && conflicts(&command, id, arg.get_id()));
    if is_excluded {
        return command;
    }
    command.mut_args(|arg| match arg.get_id() == id {
        true => arg.default_values(setting.values.iter().map(OsStr::from)),
        false => arg,
    })
}
