//! Options that select the recordings.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::error::Result;
use crate::plan::{InputOptions, Shard, ShardRequest};

const INPUT: &str = "Input";

#[derive(Debug, Args)]
pub struct InputArgs {
    /// Audio or video files, folders, glob patterns, or @FILE for a list of them; - reads from standard input
    #[arg(required_unless_present = "manifest", value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,

    /// Read recordings from a file with one JSON object per line: audio, and optionally model, language, task, prompt,
    /// clip, outputs, output_dir, id; - reads from standard input
    #[arg(long, env = "TRANSCRIBE_MANIFEST", value_name = "FILE", help_heading = INPUT)]
    manifest: Vec<PathBuf>,

    /// Search folders recursively
    #[arg(long, short, env = "TRANSCRIBE_RECURSIVE", value_parser = FalseyValueParser::new(), help_heading = INPUT)]
    recursive: bool,

    /// Take only files from folders and patterns whose name (*.mp3) or path below the folder (2024/**) matches;
    /// repeatable
    #[arg(long, env = "TRANSCRIBE_INCLUDE", value_name = "PATTERN", help_heading = INPUT)]
    include: Vec<String>,

    /// Skip files and folders whose name or path matches; repeatable
    #[arg(long, env = "TRANSCRIBE_EXCLUDE", value_name = "PATTERN", help_heading = INPUT)]
    exclude: Vec<String>,

    /// Process only part K of N, such as 2/5, balanced by duration; auto reads K and N from a Slurm array, an indexed
    /// Kubernetes job or GNU parallel (the last two need N in TRANSCRIBE_SHARDS)
    #[arg(long, env = "TRANSCRIBE_SHARD", value_name = "K/N", help_heading = INPUT)]
    shard: Option<ShardRequest>,

    /// Show what would be done without doing it: as a table or as json
    #[arg(long, env = "TRANSCRIBE_DRY_RUN", value_name = "FORMAT", num_args = 0..=1, require_equals = true,
        default_missing_value = "table", help_heading = INPUT)]
    pub dry_run: Option<DryRunFormat>,
}

/// How a dry run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRunFormat {
    No,
    Table,
    Json,
}

impl std::str::FromStr for DryRunFormat {
    type Err = String;

    /// Also accepts the values of a switch in the environment.
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
    /// Returns the part of the inputs to process.
    pub fn shard(&self) -> Result<Option<Shard>> {
        let variable = |name: &str| std::env::var(name).ok();
        self.shard.map(|shard| shard.resolve(&variable)).transpose()
    }

    pub fn discovery(&self) -> InputOptions {
        InputOptions {
            recursive: self.recursive,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            manifests: self.manifest.clone(),
            discovered: Vec::new(),
        }
    }
}
