//! `--print-config`: every option with its value and where that is from, as a file that sets the same.

use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::{Settings, resolve::Setting, usual_place};

/// Columns before the comments.
const WIDTH: usize = 44;

/// `matches` is of the command to which the settings were applied.
pub fn listing(command: &Command, matches: &ArgMatches, settings: &Settings) -> String {
    let mut text =
        format!("# The settings of transcribe {}, and where each is from.\n", env!("CARGO_PKG_VERSION"));
    let place = match (&settings.path, usual_place()) {
        (Some(path), _) => path.display().to_string(),
        (None, Some(path)) => format!("none; the usual place is {}", path.display()),
        (None, None) => "none".into(),
    };
    let _ = writeln!(text, "# Configuration file: {}", place.escape_debug());
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

/// Whether it may stand in a file; what is hidden is another spelling of what is not.
fn is_setting(arg: &Arg) -> bool {
    let flag_or_value = !matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    let own = !["config", "no_config", "print_config"].contains(&arg.get_id().as_str());
    flag_or_value && own && !arg.is_positional() && !arg.is_hide_set()
}

fn line(arg: &Arg, matches: &ArgMatches, settings: &Settings) -> String {
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
    let told = match (arg.get_action(), raw) {
        // Of a flag, clap keeps what it means and not what was said.
        (ArgAction::SetTrue | ArgAction::SetFalse, _) => format!("{key} = {}", matches.get_flag(id)),
        (_, Some(values)) => format!("{key} = {}", written(arg, &values)),
        (_, None) => format!("# {key} ="),
    };
    format!("{told:WIDTH$} # {source}")
}

fn from_file(arg: &Arg, values: &[String], settings: &Settings) -> Option<String> {
    let is_it = |setting: &&Setting| setting.tables.is_empty() && setting.id == *arg.get_id();
    let setting = settings.settings.iter().find(is_it)?;
    // One that contradicts the command line was left out.
    let path = settings.path.as_ref().filter(|_| setting.values == values)?;
    Some(format!("{}, line {}", path.display().to_string().escape_debug(), setting.line))
}

fn written(arg: &Arg, values: &[String]) -> String {
    let several = matches!(arg.get_action(), ArgAction::Append) || values.len() > 1;
    let words: Vec<String> = values.iter().map(|value| word(value)).collect();
    if several { format!("[{}]", words.join(", ")) } else { words.concat() }
}

/// A value of TOML: as it is where it is a number or a truth, else between quotes.
fn word(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    let is_real =
        value.contains('.') && value.parse::<f64>().is_ok_and(|number| format!("{number:?}") == value);
    match value {
        "true" | "false" => value.to_owned(),
        _ if is_whole || is_real => value.to_owned(),
        // JSON's texts are TOML's, but for one sign.
        _ => serde_json::Value::from(value).to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_so_that_they_are_read_alike() {
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
