//! What is written, and where.

use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::error::{Error, Result};
use crate::export::Format;
use crate::plan::{OutputOptions, Template};

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
    #[arg(long, short, alias = "output_format", env = "TRANSCRIBE_EXPORT", value_name = "FORMATS",
        help = export_help(), help_heading = OUTPUT)]
    export: Option<String>,

    /// Folder for the files, made if it is missing [default: beside each input]
    #[arg(long, short, alias = "output_dir", env = "TRANSCRIBE_OUTPUT_DIR", value_name = "FOLDER",
        help_heading = OUTPUT)]
    output_dir: Option<PathBuf>,

    /// Names of the files, below that folder or beside the input: {stem} {name} {parent} {dir} {ext} {language} {model}
    /// {date} {task} {id} {index}; {{ for a brace [default: {dir}/{stem}.{ext}]
    #[arg(long, env = "TRANSCRIBE_OUTPUT_TEMPLATE", value_name = "TEMPLATE", conflicts_with = "flat",
        help_heading = OUTPUT)]
    output_template: Option<String>,

    /// Put all files into that folder itself; else those of a folder go into the same folders there
    #[arg(long, env = "TRANSCRIBE_FLAT", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    flat: bool,

    /// Do again what is already there; else an input whose files exist is skipped
    #[arg(long, env = "TRANSCRIBE_OVERWRITE", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    overwrite: bool,
}

fn export_help() -> String {
    let names = Format::ALL.map(Format::name).join(", ");
    format!("Write files instead of printing text: {names}, several separated by commas, or all")
}

impl OutputArgs {
    /// Inputs with formats of their own need none for all.
    pub fn plan(&self, needs_formats: bool) -> Result<OutputOptions> {
        self.files.plan(needs_formats)
    }
}

impl FileArgs {
    pub fn plan(&self, needs_formats: bool) -> Result<OutputOptions> {
        let formats = self.export.as_deref().map(Format::parse_list).transpose()?.unwrap_or_default();
        let idle = [
            (self.output_dir.is_some(), "`--output-dir`"),
            (self.output_template.is_some(), "`--output-template`"),
            (self.flat, "`--flat`"),
        ];
        let idle = idle.into_iter().find(|(given, _)| *given && needs_formats && formats.is_empty());
        if let Some((_, option)) = idle {
            return Err(Error::Usage {
                what: option.into(),
                why: "without `--export` no file is written".into(),
                hint: Some("say which formats, for example `--export srt,txt`".into()),
            });
        }
        let template = self.output_template.as_deref().map(str::parse::<Template>).transpose()?;
        Ok(OutputOptions {
            formats,
            template,
            output_dir: self.output_dir.clone(),
            flat: self.flat,
            overwrite: self.overwrite,
        })
    }
}
