//! `--print-config`: every option with its value and the value's source, as a file with the same settings.

use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{ConfigSettings, default_path, resolve::ConfigSetting};

/// The column of the comments.
const WIDTH: usize = 44;

/// Returns the listing; `matches` are those of the command that the settings were applied to.
pub fn listing(command: &Command, matches: &ArgMatches, settings: &ConfigSettings) -> String {
    let mut text =
        format!("# Settings of transcribe {} and where they come from.\n", env!("CARGO_PKG_VERSION"));
    let path = match (&settings.path, default_path()) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(path)) => format!("none; the default path is {}", path.display()),
        (None, None) => "none".into(),
    };
    let _ = writeln!(text, "# Configuration file: {}", path.escape_debug());
    let options: Vec<&Arg> = command.get_arguments().filter(|arg| is_setting(arg)).collect();
    let mut headings: Vec<&str> = Vec::new();
    for heading in options.iter().filter_map(|arg| arg.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let _ = writeln!(text, "\n# {heading}");
        for arg in options.iter().filter(|arg| arg.get_help_heading() == Some(heading)) {
            let _ = writeln!(text, "{}", line(arg, matches, settings));
        }
    }
    text
}

/// Returns whether an option can be set in a file; hidden options are other spellings of visible ones.
fn is_setting(arg: &Arg) -> bool {
    let flag_or_value = !matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    let is_configurable = !["config", "no_config", "print_config"].contains(&arg.get_id().as_str());
    flag_or_value && is_configurable && !arg.is_positional() && !arg.is_hide_set()
}

fn line(arg: &Arg, matches: &ArgMatches, settings: &ConfigSettings) -> String {
    let key = arg.get_long().unwrap_or_default();
    let id = arg.get_id().as_str();
    let raw: Option<Vec<String>> =
        matches.get_raw(id).map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect());
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "command line".to_owned(),
        Some(ValueSource::EnvVariable) => {
            arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        Some(_) => match from_file(arg, raw.as_deref().unwrap_or_default(), settings) {
            Some(origin) => origin,
            None => "default".to_owned(),
        },
        None => "not set".to_owned(),
    };
    let setting = match (arg.get_action(), raw) {
        // For a flag, clap keeps its value and not what was given.
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => format!("{key} = {}", matches.get_flag(id)),
        (_, Some(values)) => format!("{key} = {}", written(arg, &values)),
        (_, None) => format!("# {key} ="),
    };
    format!("{setting:WIDTH$} # {source}")
}

fn from_file(arg: &Arg, values: &[String], settings: &ConfigSettings) -> Option<String> {
    let is_option = |setting: &&ConfigSetting| setting.tables.is_empty() && setting.id == *arg.get_id();
    let setting = settings.settings.iter().find(is_option)?;
    // A setting that conflicts with the command line was not applied.
    let path = settings.path.as_ref().filter(|_| setting.values == values)?;
    Some(format!("{}, line {}", path.display().to_string().escape_debug(), setting.line))
}

fn written(arg: &Arg, values: &[String]) -> String {
    let several = matches!(arg.get_action(), ArgAction::Append) || values.len() > 1;
    let words: Vec<String> = values.iter().map(|value| word(value)).collect();
    if several { format!("[{}]", words.join(", ")) } else { words.concat() }
}

/// Formats a TOML value: numbers and booleans as they are, everything else in quotes.
fn word(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    let is_real =
        value.contains('.') && value.parse::<f64>().is_ok_and(|number| format!("{number:?}") == value);
    match value {
        "true" | "false" => value.to_owned(),
        _ if is_whole || is_real => value.to_owned(),
        // JSON strings are TOML strings except for one character.
        _ => serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_values_that_are_not_numbers_or_booleans() {
        for (value, expected) in [
            ("true", "true"),
            ("5", "5"),
            ("-1", "-1"),
            ("0.5", "0.5"),
            ("1.0", "1.0"),
            ("18446744073709551615", "\"18446744073709551615\""),
            ("1e5", "\"1e5\""),
            ("0.50", "\"0.50\""),
            ("inf", "\"inf\""),
            ("a \"b\"\n\\\u{7f}", r#""a \"b\"\n\\\u007f""#),
        ] {
            assert_eq!(word(value), expected);
        }
    }
}
