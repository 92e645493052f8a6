//! Mistakes on the command line in this program's own words: what is wrong, why, and what was probably meant.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use crate::error::Error;

/// Names that differ by more are another word.
const LIKENESS: f64 = 0.8;

/// The mistake that clap found, for people; None where clap's own text is better, and for help.
pub fn explain(error: &clap::Error, command: &Command, line: &[OsString]) -> Option<Error> {
    let arg = text(error, ContextKind::InvalidArg).map(|arg| name(&arg));
    let usage = |what: String, why: String, hint: Option<String>| Some(Error::Usage { what, why, hint });
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let near =
                text(error, ContextKind::SuggestedArg).map(|near| format!("did you mean `{}`?", name(&near)));
            let hint =
                near.unwrap_or_else(|| format!("`{} --help` lists all there are", called(command, line)));
            usage(format!("`{}`", arg?), "there is no such option".into(), Some(hint))
        }
        ErrorKind::InvalidSubcommand => {
            let wrong = text(error, ContextKind::InvalidSubcommand)?;
            let near = text(error, ContextKind::SuggestedSubcommand);
            let called = called(command, line);
            let hint = near.map(|near| format!("did you mean `{called} {near}`?"));
            usage(
                format!("`{wrong}`"),
                "there is no such command".into(),
                hint.or_else(|| Some(format!("`{called} --help` lists all there are"))),
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
            let arg = arg?;
            if value.is_empty()
                && error.kind() == ErrorKind::InvalidValue
                && !line.iter().any(|word| word.is_empty())
            {
                let hint = found(command, line, &arg).and_then(help);
                return usage(format!("`{arg}`"), "needs a value".into(), hint);
            }
            let what = variable(command, line, &arg)
                .filter(|variable| std::env::var(variable).is_ok_and(|set| set == value))
                .map(|variable| format!("`{variable}={value}`"));
            let is_option = arg.starts_with('-');
            let what = what
                .unwrap_or_else(|| if is_option { format!("`{arg} {value}`") } else { format!("`{value}`") });
            let (why, near) = reason(error);
            usage(what, why, near.or_else(|| found(command, line, &arg).and_then(help)))
        }
        ErrorKind::ArgumentConflict => {
            let (one, other) = (arg?, name(&text(error, ContextKind::PriorArg)?));
            if one == other {
                return usage(
                    format!("`{one}`"),
                    "is said twice".into(),
                    Some("leave one of them out".into()),
                );
            }
            let from = [&one, &other].into_iter().find_map(|arg| Some((arg, variable(command, line, arg)?)));
            let hint = from.map(|(arg, variable)| format!("`{variable}` in the environment says `{arg}`"));
            usage(format!("`{one}`"), format!("cannot be used with `{other}`"), hint)
        }
        _ => None,
    }
}

/// Why an option refuses a value, and what might have been meant.
pub fn reason(error: &clap::Error) -> (String, Option<String>) {
    let allowed = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let hint = text(error, ContextKind::SuggestedValue).map(|word| format!("did you mean `{word}`?"));
    let why = match std::error::Error::source(error).map(ToString::to_string).as_deref() {
        Some("invalid float literal") => "must be a number".into(),
        Some("invalid digit found in string") => "must be a whole number, 0 or more".into(),
        Some("value was not a boolean") => "must be true or false".into(),
        Some(cause) => cause.to_owned(),
        None if !allowed.is_empty() => format!("must be one of {}", allowed.join(", ")),
        None => "is not allowed here".into(),
    };
    (why, hint)
}

/// The option's own explanation, in one line.
pub fn help(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    Some(format!("`{}`: {}", arg.get_long()?, help.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The name most like a mistyped one, if any is.
pub fn nearest<'n>(wanted: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A command that was mistyped, or that stands behind options, is taken for an input; no such file is there.
pub fn mistyped_command(command: &Command, said: &ArgMatches, line: &[OsString]) -> Option<Error> {
    let names = || command.get_subcommands().map(Command::get_name);
    let usage = |word: &str, hint: String| Error::Usage {
        what: format!("`{word}`"),
        why: "there is no such command, and no such file".into(),
        hint: Some(hint),
    };
    if said.subcommand_name().is_some() {
        return None;
    }
    let inputs = said.try_get_raw("inputs").ok().flatten();
    let inputs: Vec<&str> = inputs.into_iter().flatten().filter_map(OsStr::to_str).collect();
    let is_absent = |word: &str| !Path::new(word).exists();
    if let Some(word) = inputs.iter().find(|word| is_absent(word) && names().any(|name| name == **word)) {
        return Some(usage(word, format!("a command comes before all options: `transcribe {word}`")));
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

/// Of `--export <FORMATS>`, the option.
fn name(arg: &str) -> String {
    arg.split([' ', '=']).next().unwrap_or(arg).to_owned()
}

/// The innermost command that was called, and how.
fn innermost<'c>(command: &'c Command, line: &[OsString]) -> (&'c Command, String) {
    let (mut inner, mut called) = (command, "transcribe".to_owned());
    for word in line.iter().skip(1) {
        let Some(next) = word.to_str().and_then(|word| inner.find_subcommand(word)) else { break };
        called = format!("{called} {}", next.get_name());
        inner = next;
    }
    (inner, called)
}

fn called(command: &Command, line: &[OsString]) -> String {
    innermost(command, line).1
}

fn found<'c>(command: &'c Command, line: &[OsString], arg: &str) -> Option<&'c Arg> {
    let long = arg.strip_prefix("--")?;
    innermost(command, line).0.get_arguments().find(|arg| arg.get_long() == Some(long))
}

/// The variable of an option that the command line does not say, if it is set.
fn variable(command: &Command, line: &[OsString], arg: &str) -> Option<String> {
    let option = found(command, line, arg)?;
    let short = option.get_short().map(|short| format!("-{short}"));
    let spelled = arg.trim_start_matches('-').replace('-', "_");
    let is_said = line.iter().filter_map(|word| word.to_str()).any(|word| {
        let long = word.strip_prefix("--").map(|long| name(long).replace('-', "_"));
        long.is_some_and(|long| long == spelled)
            || short.as_ref().is_some_and(|short| word.starts_with(short.as_str()))
    });
    let variable = option.get_env()?.to_str()?.to_owned();
    (!is_said && std::env::var_os(&variable).is_some()).then_some(variable)
}
