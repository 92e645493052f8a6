//! How much is told on stderr, and in which form.

use clap::ValueEnum;

/// From the gravest to the least; each tells those before it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Level {
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

impl Level {
    const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }

    /// What `RUST_LOG` says of this program: a level alone, or `transcribe=level`, which counts more. Of other
    /// crates' parts nothing is told.
    pub fn from_rust_log(text: &str) -> Option<Self> {
        let level = |name: &str| match name.trim().to_ascii_lowercase().as_str() {
            "off" => Some(Level::Error),
            "warning" => Some(Level::Warn),
            name => Level::ALL.into_iter().find(|level| level.name() == name),
        };
        let parts = || text.split(',').map(str::trim);
        let ours = parts().filter_map(|part| part.strip_prefix("transcribe=")).filter_map(level).next_back();
        ours.or_else(|| parts().filter_map(level).next_back())
    }
}

/// Whether a command line that could not be read asks for JSON all the same.
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
    fn rust_log_is_understood_where_it_is_of_us() {
        let cases = [
            ("debug", Some(Level::Debug)),
            ("TRACE", Some(Level::Trace)),
            ("transcribe=warn", Some(Level::Warn)),
            ("hyper=trace, transcribe=error,info", Some(Level::Error)),
            ("off", Some(Level::Error)),
            ("hyper=trace", None),
            ("transcribe::audio=trace", None),
            ("", None),
        ];
        for (text, level) in cases {
            assert_eq!(Level::from_rust_log(text), level, "{text}");
        }
    }

    #[test]
    fn json_is_seen_in_a_line_that_is_wrong() {
        let wants = |line: &str, variable| wants_json(line.split(' ').map(str::to_owned), variable);
        assert!(wants("transcribe --log-format json --nope", None));
        assert!(wants("transcribe --log-format=json", None));
        assert!(wants("transcribe --nope", Some("json")));
        assert!(!wants("transcribe --log-format text json", Some("json")));
        assert!(!wants("transcribe json", None));
    }
}
