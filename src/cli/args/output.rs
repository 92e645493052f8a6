//! What is written, and where.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::error::{Error, Result};
use crate::export::Format;
use crate::job::PlanOptions;

const OUTPUT: &str = "Output";

#[derive(Debug, Args)]
pub struct OutputArgs {
    #[command(flatten)]
    files: FileArgs,

    /// Begin anew what an earlier run was stopped in the midst of; else its finished parts are taken over
    #[arg(long, env = "TRANSCRIBE_NO_RESUME", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    pub no_resume: bool,
}

/// Which files are written, wherever their text is from.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// Write files instead of printing text: txt, srt, vtt, ass, lrc, tsv, csv, json, html, several
    /// with commas, or all
    #[arg(long, short, alias = "output_format", env = "TRANSCRIBE_EXPORT", value_name = "FORMATS",
        help_heading = OUTPUT)]
    export: Option<String>,

    /// Folder for the files, made if it is missing [default: beside each input]
    #[arg(long, short, alias = "output_dir", env = "TRANSCRIBE_OUTPUT_DIR", value_name = "FOLDER",
        help_heading = OUTPUT)]
    output_dir: Option<PathBuf>,

    /// Do again what is already there; else an input whose files exist is skipped
    #[arg(long, env = "TRANSCRIBE_OVERWRITE", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    overwrite: bool,
}

impl OutputArgs {
    pub fn plan(&self) -> Result<PlanOptions> {
        self.files.plan()
    }
}

impl FileArgs {
    pub fn plan(&self) -> Result<PlanOptions> {
        let formats = self.export.as_deref().map(Format::parse_list).transpose()?.unwrap_or_default();
        if formats.is_empty() && self.output_dir.is_some() {
            return Err(Error::Usage {
                what: "`--output-dir`".into(),
                why: "without `--export` no file is written".into(),
                hint: Some("say which formats, for example `--export srt,txt`".into()),
            });
        }
        Ok(PlanOptions { formats, output_dir: self.output_dir.clone(), overwrite: self.overwrite })
    }
}
