//! Which recordings.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::error::Result;
use crate::plan::{InputOptions, Shard, ShardRequest};

const INPUT: &str = "Input";

#[derive(Debug, Args)]
pub struct InputArgs {
    /// Audio or video files, folders of them, patterns, @FILE for a list of them; - reads from standard input
    #[arg(required_unless_present = "manifest", value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,

    /// A file with a line of JSON for each recording: audio, and any of model, language, task, prompt, clip, outputs,
    /// output_dir, id; - reads it from standard input
    #[arg(long, env = "TRANSCRIBE_MANIFEST", value_name = "FILE", help_heading = INPUT)]
    manifest: Vec<PathBuf>,

    /// Look into the folders of a folder, too
    #[arg(long, short, env = "TRANSCRIBE_RECURSIVE", value_parser = FalseyValueParser::new(), help_heading = INPUT)]
    recursive: bool,

    /// Of folders and patterns take only files of such names (*.mp3), or such paths below the folder (2024/**); may
    /// be said several times
    #[arg(long, env = "TRANSCRIBE_INCLUDE", value_name = "PATTERN", help_heading = INPUT)]
    include: Vec<String>,

    /// Leave out files and folders of such names or paths; may be said several times
    #[arg(long, env = "TRANSCRIBE_EXCLUDE", value_name = "PATTERN", help_heading = INPUT)]
    exclude: Vec<String>,

    /// Do only part K of N, balanced by length: 2/5; or auto, as Slurm arrays, indexed jobs of Kubernetes or GNU parallel
    /// say (the last two with the number of parts in TRANSCRIBE_SHARDS)
    #[arg(long, env = "TRANSCRIBE_SHARD", value_name = "K/N", help_heading = INPUT)]
    shard: Option<ShardRequest>,

    /// Tell what would be done, and do nothing: as a table, or as json
    #[arg(long, env = "TRANSCRIBE_DRY_RUN", value_name = "HOW", num_args = 0..=1, require_equals = true,
        default_missing_value = "table", help_heading = INPUT)]
    pub dry_run: Option<DryRunFormat>,
}

/// How to tell of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRunFormat {
    No,
    Table,
    Json,
}

impl std::str::FromStr for DryRunFormat {
    type Err = String;

    /// The environment says it as other switches are said there.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "table" | "1" | "true" | "yes" | "on" => Ok(DryRunFormat::Table),
            "json" => Ok(DryRunFormat::Json),
            "" | "0" | "false" | "no" | "off" => Ok(DryRunFormat::No),
            _ => Err("must be `table` or `json`".into()),
        }
    }
}

impl InputArgs {
    /// Which part of the inputs is meant.
    pub fn shard(&self) -> Result<Option<Shard>> {
        let variable = |name: &str| std::env::var(name).ok();
        self.shard.map(|shard| shard.resolve(&variable)).transpose()
    }

    pub fn finding(&self) -> InputOptions {
        InputOptions {
            recursive: self.recursive,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            manifests: self.manifest.clone(),
            known: Vec::new(),
        }
    }
}
