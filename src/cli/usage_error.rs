//! Turns clap's errors into messages of this program: what is wrong, why, and what was probably meant.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use crate::error::Error;

/// The least similarity of a suggestion.
const MIN_SIMILARITY: f64 = 0.8;

/// Explains an error of clap; returns none where clap's own message is better, and for help.
pub fn explain(error: &clap::Error, command: &Command, line: &[OsString]) -> Option<Error> {
    let arg = text(error, ContextKind::InvalidArg).map(|arg| name(&arg));
    let usage = |what: String, why: String, hint: Option<String>| Some(Error::Usage { what, why, hint });
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let near =
                text(error, ContextKind::SuggestedArg).map(|near| format!("did you mean `{}`?", name(&near)));
            let hint =
                near.unwrap_or_else(|| format!("`{} --help` lists all options", command_name(command, line)));
            usage(format!("`{}`", arg?), "unknown option".into(), Some(hint))
        }
        ErrorKind::InvalidSubcommand => {
            let wrong = text(error, ContextKind::InvalidSubcommand)?;
            let near = text(error, ContextKind::SuggestedSubcommand);
            let command_name = command_name(command, line);
            let hint = near.map(|near| format!("did you mean `{command_name} {near}`?"));
            usage(
                format!("`{wrong}`"),
                "unknown command".into(),
                hint.or_else(|| Some(format!("`{command_name} --help` lists all commands"))),
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            let arg = arg?;
            if value.is_empty()
                && error.kind() == ErrorKind::InvalidValue
                && !line.iter().any(|word| word.is_empty())
            {
                let hint = find_option(command, line, &arg).and_then(help);
                return usage(format!("`{arg}`"), "requires a value".into(), hint);
            }
            let what = variable(command, line, &arg)
                .filter(|variable| std::env::var(variable).is_ok_and(|set| set == value))
                .map(|variable| format!("`{variable}={value}`"));
            let is_option = arg.starts_with('-');
            let what = what
                .unwrap_or_else(|| if is_option { format!("`{arg} {value}`") } else { format!("`{value}`") });
            let (why, near) = reason(error);
            usage(what, why, near.or_else(|| find_option(command, line, &arg).and_then(help)))
        }
        ErrorKind::ArgumentConflict => {
            let (one, other) = (arg?, name(&text(error, ContextKind::PriorArg)?));
            if one == other {
                return usage(
                    format!("`{one}`"),
                    "cannot be used more than once".into(),
                    Some("remove one of them".into()),
                );
            }
            let from = [&one, &other].into_iter().find_map(|arg| Some((arg, variable(command, line, arg)?)));
            let hint =
                from.map(|(arg, variable)| format!("the environment variable `{variable}` sets `{arg}`"));
            usage(format!("`{one}`"), format!("cannot be used with `{other}`"), hint)
        }
        _ => None,
    }
}

/// Returns why an option rejects a value, and a suggestion.
pub fn reason(error: &clap::Error) -> (String, Option<String>) {
    let allowed = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let hint = text(error, ContextKind::SuggestedValue).map(|word| format!("did you mean `{word}`?"));
    let why = match std::error::Error::source(error).map(ToString::to_string).as_deref() {
        Some("invalid float literal") => "must be a number".into(),
        Some("invalid digit found in string") => "must be a non-negative integer".into(),
        Some("value was not a boolean") => "must be true or false".into(),
        Some(cause) => cause.to_owned(),
        None if !allowed.is_empty() => format!("must be one of {}", allowed.join(", ")),
        None => "is not a valid value".into(),
    };
    (why, hint)
}

/// Returns the help of an option in one line.
pub fn help(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    Some(format!("`{}`: {}", arg.get_long()?, help.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// Returns the name most similar to a mistyped one, if any is similar enough.
pub fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(similarity, _)| *similarity > MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// Detects a command that clap took for an input, because it is mistyped or follows options. No such file exists.
pub fn mistyped_command(command: &Command, given: &ArgMatches, line: &[OsString]) -> Option<Error> {
    let names = || command.get_subcommands().map(Command::get_name);
    let usage = |word: &str, hint: String| Error::Usage {
        what: format!("`{word}`"),
        why: "not a command or an existing file".into(),
        hint: Some(hint),
    };
    if given.subcommand_name().is_some() {
        return None;
    }
    let inputs = given.try_get_raw("inputs").ok().flatten();
    let inputs: Vec<&str> = inputs.into_iter().flatten().filter_map(OsStr::to_str).collect();
    let is_absent = |word: &str| !Path::new(word).exists();
    if let Some(word) = inputs.iter().find(|word| is_absent(word) && names().any(|name| name == **word)) {
        return Some(usage(word, format!("commands come before options: `transcribe {word}`")));
    }
    let first = inputs.first().filter(|first| line.get(1).is_some_and(|word| word == *first))?;
    let is_word = first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let near = nearest(first, names()).filter(|_| is_word && is_absent(first))?;
    Some(usage(first, format!("did you mean `transcribe {near}`?")))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// Returns `--export` of `--export <FORMATS>`.
fn name(arg: &str) -> String {
    arg.split([' ', '=']).next().unwrap_or(arg).to_owned()
}

/// Returns the innermost command that was called, and its full name.
fn innermost<'c>(command: &'c Command, line: &[OsString]) -> (&'c Command, String) {
    let (mut inner, mut name) = (command, "transcribe".to_owned());
    for word in line.iter().skip(1) {
        let Some(next) = word.to_str().and_then(|word| inner.find_subcommand(word)) else { break };
        name = format!("{name} {}", next.get_name());
        inner = next;
    }
    (inner, name)
}

fn command_name(command: &Command, line: &[OsString]) -> String {
    innermost(command, line).1
}

fn find_option<'c>(command: &'c Command, line: &[OsString], arg: &str) -> Option<&'c Arg> {
    let long = arg.strip_prefix("--")?;
    innermost(command, line).0.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// Returns the environment variable of an option if it is set and the option is not on the command line.
fn variable(command: &Command, line: &[OsString], arg: &str) -> Option<String> {
    let option = find_option(command, line, arg)?;
    let short = option.get_short().map(|short| format!("-{short}"));
    let spelled = arg.trim_start_matches('-').replace('-', "_");
    let is_on_line = line.iter().filter_map(|word| word.to_str()).any(|word| {
        let long = word.strip_prefix("--").map(|long| name(long).replace('-', "_"));
        long.is_some_and(|long| long == spelled)
            || short.as_ref().is_some_and(|short| word.starts_with(short.as_str()))
    });
    let variable = option.get_env()?.to_str()?.to_owned();
    (!is_on_line && std::env::var_os(&variable).is_some()).then_some(variable)
}
