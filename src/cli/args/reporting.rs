//! Options for messages, progress, reports and metrics.

use std::path::PathBuf;

use clap::Args;

use crate::cli::log::{LogFormat, LogLevel};
use crate::cli::progress::ProgressMode;

const REPORTS: &str = "Reports";

#[derive(Debug, Args)]
pub struct ReportingArgs {
    /// Write a report of the run to this file, one line of JSON per event; see `transcribe report`
    #[arg(long, env = "TRANSCRIBE_REPORT", value_name = "FILE", help_heading = REPORTS)]
    pub report: Option<PathBuf>,

    /// Write metrics of the run to this file, in Prometheus' text format
    #[arg(long, env = "TRANSCRIBE_METRICS_FILE", value_name = "FILE", help_heading = REPORTS)]
    pub metrics_file: Option<PathBuf>,

    /// Format of messages on stderr: text, or json with one object per line
    #[arg(long, env = "TRANSCRIBE_LOG_FORMAT", value_name = "FORMAT", default_value = "text",
        hide_possible_values = true, help_heading = REPORTS)]
    pub log_format: LogFormat,

    /// Log level: error, warn, info, debug or trace; --quiet is warn, --verbose is debug. RUST_LOG is respected
    #[arg(long, env = "TRANSCRIBE_LOG_LEVEL", value_name = "LEVEL", hide_possible_values = true,
        help_heading = REPORTS)]
    pub log_level: Option<LogLevel>,

    /// Progress display: auto, bar, plain (a line from time to time), json (an object from time to time) or none
    #[arg(long, env = "TRANSCRIBE_PROGRESS", value_name = "MODE", default_value = "auto",
        hide_possible_values = true, help_heading = REPORTS)]
    pub progress: ProgressMode,
}

impl ReportingArgs {
    /// Returns the log level, and whether it was requested.
    pub fn level(&self, quiet: bool, verbose: bool) -> (LogLevel, bool) {
        let variable = || LogLevel::from_rust_log(&std::env::var("RUST_LOG").ok()?);
        match (quiet, verbose, self.log_level.or_else(variable)) {
            (true, _, _) => (LogLevel::Warn, false),
            (_, true, _) => (LogLevel::Debug, true),
            (_, _, Some(level)) => (level, true),
            _ => (LogLevel::Info, false),
        }
    }
}
