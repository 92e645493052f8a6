//! Which recordings.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::job::InputOptions;

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
}

impl InputArgs {
    pub fn finding(&self) -> InputOptions {
        InputOptions {
            recursive: self.recursive,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            manifests: self.manifest.clone(),
        }
    }
}
