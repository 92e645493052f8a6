//! Finds the line of the file that an error is about, where the command line had no part in it.

use super::{Settings, at};
use crate::error::Error;

/// Names the setting without which there would be no such error. `fails` tells what goes wrong with other settings.
pub fn blame(error: Error, settings: &Settings, fails: impl Fn(&Settings) -> Option<Error>) -> Error {
    let (Error::Usage { why, hint, .. }, Some(path)) = (&error, &settings.path) else { return error };
    let is_guilty = |index: &usize| {
        fails(&settings.without(*index)).is_none_or(|other| other.to_string() != error.to_string())
    };
    let Some(guilty) = (0..settings.settings.len()).find(is_guilty) else { return error };
    let setting = &settings.settings[guilty];
    let table =
        if setting.tables.is_empty() { String::new() } else { format!("[{}] ", setting.tables.join(".")) };
    let what = format!("{}: `{table}{} = {}`", at(path, setting.line), setting.key, setting.written);
    Error::Usage { what, why: why.clone(), hint: hint.clone() }
}
