//! What is told of a run: to the person, to programs, to monitors.

use std::path::PathBuf;

use clap::Args;

use crate::cli::log::{Level, LogFormat};
use crate::cli::progress::Mode;

const REPORTS: &str = "Reports";

#[derive(Debug, Args)]
pub struct TalkArgs {
    /// Write what happens into this file, a line of JSON per event; see `transcribe report`
    #[arg(long, env = "TRANSCRIBE_REPORT", value_name = "FILE", help_heading = REPORTS)]
    pub report: Option<PathBuf>,

    /// Write figures of the run into this file, for Prometheus
    #[arg(long, env = "TRANSCRIBE_METRICS_FILE", value_name = "FILE", help_heading = REPORTS)]
    pub metrics_file: Option<PathBuf>,

    /// How messages look: text, or json, an object per line and nothing else
    #[arg(long, env = "TRANSCRIBE_LOG_FORMAT", value_name = "FORMAT", default_value = "text",
        hide_possible_values = true, help_heading = REPORTS)]
    pub log_format: LogFormat,

    /// How much to tell: error, warn, info, debug or trace; --quiet is warn, --verbose is debug. RUST_LOG, too
    #[arg(long, env = "TRANSCRIBE_LOG_LEVEL", value_name = "LEVEL", hide_possible_values = true,
        help_heading = REPORTS)]
    pub log_level: Option<Level>,

    /// How to show progress: auto, bar, plain (a line now and then), json (an object now and then) or none
    #[arg(long, env = "TRANSCRIBE_PROGRESS", value_name = "HOW", default_value = "auto",
        hide_possible_values = true, help_heading = REPORTS)]
    pub progress: Mode,
}

impl TalkArgs {
    /// How much to tell, and whether somebody said so.
    pub fn level(&self, quiet: bool, verbose: bool) -> (Level, bool) {
        let variable = || Level::from_rust_log(&std::env::var("RUST_LOG").ok()?);
        match (quiet, verbose, self.log_level.or_else(variable)) {
            (true, _, _) => (Level::Warn, false),
            (_, true, _) => (Level::Debug, true),
            (_, _, Some(level)) => (level, true),
            _ => (Level::Info, false),
        }
    }
}
