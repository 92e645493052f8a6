//! The opposites of switches: `--no-vad` undoes a `--vad` before it on the command line, in the environment or in the
//! configuration file, and `--resume` undoes `--no-resume`.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// Switches that also take values, among them `false`.
const WITH_VALUES: [&str; 2] = ["dry-run", "timestamps"];

/// A command line without opposites.
pub struct PlainLine {
    pub line: Vec<OsString>,
    /// The switches that are off wherever they are set.
    pub off: Vec<String>,
}

/// Applies the opposites on a command line; of a switch and its opposite, the last one counts.
pub fn apply_opposites(command: &Command, line: Vec<OsString>) -> PlainLine {
    let inner = line.iter().skip(1).try_fold(command, |inner, word| match inner.find_subcommand(word) {
        Some(next) => Ok(next),
        None => Err(inner),
    });
    let (Ok(inner) | Err(inner)) = inner;
    let switches: Vec<(&Arg, String)> =
        inner.get_arguments().filter_map(|arg| Some((arg, opposite(inner, arg)?))).collect();
    let mut plain = PlainLine { line: Vec::with_capacity(line.len()), off: Vec::new() };
    let mut is_verbatim = false;
    for word in line {
        is_verbatim |= word == "--";
        let text = word.to_str().filter(|_| !is_verbatim).unwrap_or_default();
        if let Some((arg, _)) = switches.iter().find(|(_, opposite)| text == opposite) {
            plain.line.retain(|earlier| !is_spelling(arg, earlier.to_str().unwrap_or_default()));
            match arg.get_action() {
                ArgAction::SetTrue => plain.off.push(arg.get_id().to_string()),
                _ => plain.line.push(format!("--{}=false", arg.get_long().unwrap_or_default()).into()),
            }
            continue;
        }
        if let Some((arg, _)) = switches.iter().find(|(arg, _)| is_spelling(arg, text)) {
            plain.off.retain(|id| id != arg.get_id().as_str());
        }
        plain.line.push(word);
    }
    plain
}

/// Returns the opposite of a switch, as it is written; none of other options.
fn opposite(command: &Command, arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue) || WITH_VALUES.contains(&long);
    let opposite = match long.strip_prefix("no-") {
        Some(positive) => positive.to_owned(),
        None => format!("no-{long}"),
    };
    let is_taken = command.get_arguments().any(|other| other.get_long() == Some(opposite.as_str()));
    (is_switch && !is_taken).then(|| format!("--{opposite}"))
}

/// Returns whether a word of the command line sets the switch.
fn is_spelling(arg: &Arg, word: &str) -> bool {
    let long = word.strip_prefix("--").is_some_and(|name| {
        let name = name.split('=').next().unwrap_or(name);
        arg.get_long() == Some(name)
    });
    long || word.strip_prefix('-').is_some_and(|name| arg.get_short().is_some_and(|s| name == s.to_string()))
}
