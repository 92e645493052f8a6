//! From the keys of the file to the options they mean, each value tried with the option's own parser.

use std::ffi::OsString;

use clap::builder::{OsStr, Resettable};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Id};

use super::at;
use super::document::{Entry, File, Value};
use crate::cli::usage_error::{help, nearest, reason};
use crate::error::Error;

/// Options that take several values between commas as one text; of others clap knows it.
const COMMA_LISTS: [&str; 4] = ["export", "clip-timestamps", "suppress-tokens", "device"];

/// The table whose tables are the subcommands; at the top `export` is an option, too.
const COMMANDS: &str = "commands";

/// These say which file is read, or are no settings.
const NOT_IN_FILE: [&str; 5] = ["config", "no-config", "print-config", "help", "version"];

/// One option with a value from the file.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The subcommand whose option it is; none for the program's own.
    pub tables: Vec<String>,
    pub id: Id,
    /// Its name in the environment.
    variable: Option<OsString>,
    pub key: String,
    pub values: Vec<String>,
    pub line: usize,
    pub written: String,
    /// It is what holds anyway: it contradicts nobody.
    is_off: bool,
}

/// Finds the option of every key, and tries every value.
pub fn resolve(command: &Command, file: &File) -> Result<Vec<Setting>, Vec<Error>> {
    let mut faults = Vec::new();
    let mut settings: Vec<Setting> = Vec::new();
    for entry in &file.entries {
        match setting(command, file, entry) {
            Ok(setting) => {
                let twin = settings.iter().find(|s| s.tables == setting.tables && s.id == setting.id);
                if let Some(twin) = twin {
                    let why = format!("the same as `{}` in line {}", twin.key, twin.line);
                    faults.push(fault(file, entry, &why, Some("leave one of them out".into())));
                }
                settings.push(setting);
            }
            Err(error) => faults.push(error),
        }
    }
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn setting(root: &Command, file: &File, entry: &Entry) -> Result<Setting, Error> {
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
        let hint = format!("it belongs on the command line: `--{key}`");
        return Err(fault(file, entry, "cannot be set in a file", Some(hint)));
    }
    let Some(arg) = option(command, &entry.key) else {
        return Err(unknown_key(root, command, file, entry));
    };
    let values = values(arg, &entry.value).map_err(|why| fault(file, entry, &why, help(arg)))?;
    try_parser(arg, &values).map_err(|(why, hint)| fault(file, entry, &why, hint.or_else(|| help(arg))))?;
    Ok(Setting {
        tables: tables.to_vec(),
        id: arg.get_id().clone(),
        variable: arg.get_env().map(OsString::from),
        key: entry.key.clone(),
        is_off: says_nothing(arg, &values),
        values,
        line: entry.line,
        written: entry.written.clone(),
    })
}

/// The option with this long name, in either spelling.
fn option<'c>(command: &'c Command, key: &str) -> Option<&'c Arg> {
    let long = key.replace('_', "-");
    let is = |arg: &&Arg, name: &str| {
        arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
    };
    command
        .get_arguments()
        .find(|arg| is(arg, &long))
        .or_else(|| command.get_arguments().find(|arg| is(arg, key)))
}

/// The value as clap wants it.
fn values(arg: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let takes_words = |word: &str| arg.get_possible_values().iter().any(|value| value.matches(word, true));
    match value {
        Value::Table => Err("is a table, and should be a value".into()),
        Value::Bool(value) if is_flag(arg) || takes_words("true") => Ok(vec![value.to_string()]),
        Value::Bool(_) => Err("must be a text or a number".into()),
        _ if is_flag(arg) => Err("must be `true` or `false`, without quotes".into()),
        Value::Text(text) => Ok(vec![text.clone()]),
        Value::List(list) => {
            let one = |value: &Value| match value {
                Value::Text(text) => Ok(text.clone()),
                _ => Err("must be a list of texts or numbers".to_owned()),
            };
            let list: Vec<String> = list.iter().map(one).collect::<Result<_, _>>()?;
            match arg.get_long() {
                _ if takes_several(arg) => Ok(list),
                Some(long) if COMMA_LISTS.contains(&long) => Ok(vec![list.join(",")]),
                _ => Err("takes one value, not a list".into()),
            }
        }
    }
}

fn is_flag(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse)
}

fn says_nothing(arg: &Arg, values: &[String]) -> bool {
    let usual = arg.get_default_values();
    match is_flag(arg) {
        true => values == ["false"],
        false => {
            usual.len() == values.len()
                && usual.iter().zip(values).all(|(usual, value)| usual == value.as_str())
        }
    }
}

fn takes_several(arg: &Arg) -> bool {
    let most = arg.get_num_args().map_or(1, |range| range.max_values());
    matches!(arg.get_action(), ArgAction::Append) || most > 1 || arg.get_value_delimiter().is_some()
}

/// Why the option refuses a value, and what might have been meant.
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

fn unknown_table(root: &Command, file: &File, entry: &Entry, name: &str) -> Error {
    let names = root.get_subcommands().map(Command::get_name);
    let hint = match nearest(&name.to_lowercase(), names) {
        Some(command) => format!("settings of `transcribe {command}` {}", below(command)),
        None => "most settings stand in no table; `transcribe --print-config` lists them".into(),
    };
    let what = format!("{}: `[{}]`", at(&file.path, entry.table_line), entry.tables.join("."));
    Error::Usage { what, why: "there is no such table".into(), hint: Some(hint) }
}

fn unknown_key(root: &Command, command: &Command, file: &File, entry: &Entry) -> Error {
    let wanted = entry.key.replace('_', "-").to_lowercase();
    let names = command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long);
    let nearest = nearest(&wanted, names.filter(|name| !NOT_IN_FILE.contains(name)));
    let owner = root.get_subcommands().find(|command| option(command, &wanted).is_some());
    let hint = match (nearest, owner.map(Command::get_name)) {
        (_, Some(owner)) => format!("options of `transcribe {owner}` {}", below(owner)),
        (Some(name), _) => format!("did you mean `{name}`?"),
        (None, _) => "keys are the long names of options; `transcribe --print-config` lists them".into(),
    };
    let what = format!("{}: `{}`", at(&file.path, entry.line), entry.key);
    Error::Usage { what, why: "there is no such option".into(), hint: Some(hint) }
}

fn below(command: &str) -> String {
    format!("stand below a line `[{COMMANDS}.{command}]`")
}

fn fault(file: &File, entry: &Entry, why: &str, hint: Option<String>) -> Error {
    let what = format!("{}: `{} = {}`", at(&file.path, entry.line), entry.key, entry.written);
    Error::Usage { what, why: why.to_owned(), hint }
}

/// Refuses two settings of the file that contradict each other.
pub fn check_pairs(command: &Command, file: &File, settings: &[Setting]) -> Result<(), Vec<Error>> {
    let mut faults = Vec::new();
    for (index, first) in settings.iter().enumerate().filter(|(_, setting)| !setting.is_off) {
        let rest = settings[index + 1..].iter().filter(|s| !s.is_off && s.tables == first.tables);
        let owner = first.tables.iter().try_fold(command, |command, table| command.find_subcommand(table));
        let Some(owner) = owner else { continue };
        faults.extend(rest.filter(|second| contradict(owner, &first.id, &second.id)).map(|second| {
            let what = format!("{}: `{} = {}`", at(&file.path, second.line), second.key, second.written);
            let why = format!("cannot be used with `{}` in line {}", first.key, first.line);
            Error::Usage { what, why, hint: Some("leave one of them out".into()) }
        }));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn contradict(command: &Command, first: &Id, second: &Id) -> bool {
    let refuses = |one: &Id, other: &Id| {
        let arg = command.get_arguments().find(|arg| arg.get_id() == one);
        arg.is_some_and(|arg| command.get_arg_conflicts_with(arg).iter().any(|arg| arg.get_id() == other))
    };
    refuses(first, second) || refuses(second, first)
}

/// Makes the settings the defaults of the command that is `tables` deep, and of the subcommand that was called.
pub fn apply(command: Command, said: &ArgMatches, tables: &[String], settings: &[Setting]) -> Command {
    // What a subcommand shares with the program, it shares by the environment's name; its own table goes last.
    let outer =
        settings.iter().filter(|setting| tables.starts_with(&setting.tables) && setting.tables != tables);
    let shared: Vec<(Id, &Setting)> =
        outer.filter_map(|setting| Some((twin(&command, setting)?, setting))).collect();
    let own = settings.iter().filter(|setting| setting.tables == tables);
    let all = shared.into_iter().chain(own.map(|setting| (setting.id.clone(), setting)));
    let command = all.fold(command, |command, (id, setting)| set(command, said, &id, setting));
    let Some((name, said)) = said.subcommand() else { return command };
    let inside = [tables, &[name.to_owned()]].concat();
    command.mut_subcommand(name, |inner| apply(inner, said, &inside, settings))
}

/// The option of a subcommand that reads the same variable.
fn twin(inner: &Command, setting: &Setting) -> Option<Id> {
    let variable = setting.variable.as_ref()?;
    let twin = inner.get_arguments().find(|arg| arg.get_env() == Some(variable.as_os_str()))?;
    (!twin.is_global_set()).then(|| twin.get_id().clone())
}

fn set(command: Command, said: &ArgMatches, id: &Id, setting: &Setting) -> Command {
    let explicit = |id: &Id| {
        let source = said.try_contains_id(id.as_str()).ok().and_then(|_| said.value_source(id.as_str()));
        source.is_some_and(|source| source != ValueSource::DefaultValue)
    };
    let refused =
        command.get_arguments().any(|arg| explicit(arg.get_id()) && contradict(&command, id, arg.get_id()));
    if refused {
        return command;
    }
    command.mut_args(|arg| match arg.get_id() == id {
        true => arg.default_values(setting.values.iter().map(OsStr::from)),
        false => arg,
    })
}
