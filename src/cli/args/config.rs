//! Which configuration file holds, and how all settings are told.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::GENERAL;

#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// File with settings: long names of options, as in `model = "small"` [default: transcribe/transcribe.toml in the
    /// user's configuration folder, if it is there]
    #[arg(long, env = "TRANSCRIBE_CONFIG", value_name = "FILE", global = true, help_heading = GENERAL)]
    pub config: Option<PathBuf>,

    /// Read no configuration file
    #[arg(long, env = "TRANSCRIBE_NO_CONFIG", value_parser = FalseyValueParser::new(), global = true,
        help_heading = GENERAL)]
    pub no_config: bool,

    /// Tell every option, its value and where that comes from, as a configuration file, and do nothing else
    #[arg(long, help_heading = GENERAL)]
    pub print_config: bool,
}
