//! Log levels, and the format of messages on stderr.

use clap::ValueEnum;

/// Log levels from the most severe to the least; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

impl LogLevel {
    const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    /// Parses `RUST_LOG`: a level alone or `transcribe=level`, which takes precedence. Directives for other targets are
    /// ignored.
    pub fn from_rust_log(text: &str) -> Option<Self> {
        let level = |name: &str| match name.trim().to_ascii_lowercase().as_str() {
            "off" => Some(LogLevel::Error),
            "warning" => Some(LogLevel::Warn),
            name => LogLevel::ALL.into_iter().find(|level| level.name() == name),
        };
        let parts = || text.split(',').map(str::trim);
        let own = parts().filter_map(|part| part.strip_prefix("transcribe=")).filter_map(level).next_back();
        own.or_else(|| parts().filter_map(level).next_back())
    }
}

/// Returns whether an invalid command line requests messages as JSON.
pub fn wants_json(mut words: impl Iterator<Item = String>, variable: Option<&str>) -> bool {
    let mut wants = variable == Some("json");
    while let Some(word) = words.next() {
        match word.strip_prefix("--log-format") {
            Some("") => wants = words.next().as_deref() == Some("json"),
            Some(value) => wants = value == "=json",
            None => {}
        }
    }
    wants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_rust_log_directives_of_this_program() {
        let cases = [
            ("debug", Some(LogLevel::Debug)),
            ("TRACE", Some(LogLevel::Trace)),
            ("transcribe=warn", Some(LogLevel::Warn)),
            ("hyper=trace, transcribe=error,info", Some(LogLevel::Error)),
            ("off", Some(LogLevel::Error)),
            ("hyper=trace", None),
            ("transcribe::audio=trace", None),
            ("", None),
        ];
        for (text, level) in cases {
            assert_eq!(LogLevel::from_rust_log(text), level, "{text}");
        }
    }

    #[test]
    fn finds_the_log_format_of_an_invalid_command_line() {
        let wants = |line: &str, variable| wants_json(line.split(' ').map(str::to_owned), variable);
        assert!(wants("transcribe --log-format json --nope", None));
        assert!(wants("transcribe --log-format=json", None));
        assert!(wants("transcribe --nope", Some("json")));
        assert!(!wants("transcribe --log-format text json", Some("json")));
        assert!(!wants("transcribe json", None));
    }
}
