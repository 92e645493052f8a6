//! Finds environment variables that look like options and are none.

use std::collections::BTreeSet;

use clap::Command;

use super::usage_error::nearest;

const PREFIX: &str = "TRANSCRIBE_";

/// Variables of this program, its tests and its scripts that are no options, or the beginnings of their names.
const OTHERS: [&str; 5] =
    ["TRANSCRIBE_SHARDS", "TRANSCRIBE_TEST_", "TRANSCRIBE_KEEP_SCREENS", "TRANSCRIBE_CI_", "TRANSCRIBE_HOST"];

/// Returns a warning for each variable that no option reads.
pub fn unknown_variables(command: &Command, variables: impl Iterator<Item = String>) -> Vec<String> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let is_other = |name: &str| OTHERS.iter().any(|other| name.starts_with(other));
    let unknown =
        variables.filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_other(name));
    let warning = |name: String| {
        let without_prefix = |name: &'_ str| name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let names: Vec<String> = known.iter().map(|name| without_prefix(name)).collect();
        let near = nearest(&without_prefix(&name), names.iter().map(String::as_str));
        let near = near.map(|near| format!("; did you mean `{PREFIX}{near}`?")).unwrap_or_default();
        format!("environment variable `{name}`: no option reads it{near}")
    };
    unknown.map(warning).collect()
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    let variables = command.get_arguments().filter_map(|arg| arg.get_env());
    known.extend(variables.map(|variable| variable.to_string_lossy().into_owned()));
    command.get_subcommands().for_each(|inner| collect(inner, known));
}
