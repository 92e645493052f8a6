//! Options that select the output files.

use std::path::{Path, PathBuf};

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, Args};

use crate::error::{Error, Result};
use crate::export::Format;
use crate::plan::{OutputOptions, Template};

const OUTPUT: &str = "Output";

#[derive(Debug, Args)]
pub struct OutputArgs {
    #[command(flatten)]
    files: FileArgs,

    /// Print text with its times; --no-timestamps without [default: with times on a terminal]
    #[arg(long, env = "TRANSCRIBE_TIMESTAMPS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), help_heading = OUTPUT)]
    pub timestamps: Option<bool>,

    /// Start over instead of resuming what an earlier run left unfinished
    #[arg(long, env = "TRANSCRIBE_NO_RESUME", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    pub no_resume: bool,
}

/// The options of every command that writes output files.
#[derive(Debug, Args)]
pub struct FileArgs {
    #[arg(long, short, short_alias = 'f', alias = "output_format", env = "TRANSCRIBE_EXPORT", value_name = "FORMATS",
        action = ArgAction::Append, help = export_help(), help_heading = OUTPUT)]
    export: Vec<String>,

    /// Folder for output files, created if missing; - prints the only output [default: next to each input]
    #[arg(long, short, alias = "output_dir", env = "TRANSCRIBE_OUTPUT_DIR", value_name = "FOLDER",
        help_heading = OUTPUT)]
    output_dir: Option<PathBuf>,

    /// File names, relative to the output folder or the input's: {stem} {name} {parent} {dir} {ext} {language} {model}
    /// {date} {task} {id} {index}; {{ for a brace [default: {dir}/{stem}.{ext}]
    #[arg(long, env = "TRANSCRIBE_OUTPUT_TEMPLATE", value_name = "TEMPLATE", conflicts_with = "flat",
        help_heading = OUTPUT)]
    output_template: Option<String>,

    /// Add the language to the names of files, as players expect it of subtitles: talk.en.srt
    #[arg(long, env = "TRANSCRIBE_LANGUAGE_IN_NAME", value_parser = FalseyValueParser::new(),
        conflicts_with = "output_template", help_heading = OUTPUT)]
    language_in_name: bool,

    /// Write all files directly into the output folder instead of recreating the input's folders there
    #[arg(long, env = "TRANSCRIBE_FLAT", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    flat: bool,

    /// Process inputs again whose output files exist; otherwise they are skipped
    #[arg(long, env = "TRANSCRIBE_OVERWRITE", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    overwrite: bool,
}

fn export_help() -> String {
    let names = Format::ALL.map(Format::name).join(", ");
    format!("Write files instead of printing text: {names}, several separated by commas, or all")
}

impl OutputArgs {
    /// See [`FileArgs::output_options`].
    pub fn output_options(&self, needs_formats: bool) -> Result<OutputOptions> {
        self.files.output_options(needs_formats)
    }
}

impl FileArgs {
    /// Returns the options; `needs_formats` says whether inputs cannot bring formats of their own.
    pub fn output_options(&self, needs_formats: bool) -> Result<OutputOptions> {
        let formats = match self.export.is_empty() {
            true => Vec::new(),
            false => Format::parse_list(&self.export.join(","))?,
        };
        let needing_formats = [
            (self.output_dir.is_some(), "`--output-dir`"),
            (self.output_template.is_some(), "`--output-template`"),
            (self.flat, "`--flat`"),
            (self.language_in_name, "`--language-in-name`"),
        ];
        let needing_formats = needing_formats.into_iter().find(|(given, _)| *given);
        if let Some((_, option)) = needing_formats.filter(|_| needs_formats && formats.is_empty()) {
            return Err(Error::Usage {
                what: option.into(),
                why: "has no effect without `--export`".into(),
                hint: Some("choose the formats to write, for example `--export srt,txt`".into()),
            });
        }
        let to_stdout = self.output_dir.as_deref() == Some(Path::new("-"));
        if to_stdout && self.output_template.is_some() {
            return Err(Error::usage("`--output-template`", "cannot be used with `--output-dir -`"));
        }
        let template = self.output_template.as_deref().map(str::parse::<Template>).transpose()?;
        Ok(OutputOptions {
            formats,
            template,
            to_stdout,
            output_dir: self.output_dir.clone().filter(|_| !to_stdout),
            flat: self.flat,
            language_in_name: self.language_in_name,
            overwrite: self.overwrite,
        })
    }
}
