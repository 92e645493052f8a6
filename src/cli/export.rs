//! `transcribe export`: its options, and the marks of subtitles.

use std::io;
use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::args::{FileArgs, SubtitleArgs};
use super::printer::Printer;
use crate::error::{Error, Result};
use crate::export::CueQuality;
use crate::run::{Conversion, check_cues};

/// Write transcripts that are there already in other formats, with no model: JSON of this program, openai-whisper,
/// faster-whisper, whisperX, whisper.cpp and transformers, and subtitles
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ExportArgs {
    /// Transcripts: json, srt, vtt, tsv, txt; - reads JSON from standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    subtitles: SubtitleArgs,

    /// Write nothing: tell how many subtitles in these files are too long, too fast, too close …, and a mark from
    /// 0 to 100 for each file
    #[arg(long, conflicts_with_all = ["export", "output_dir"])]
    pub check: bool,

    /// With --check: end with 7 if the mark of a file is lower
    #[arg(long, requires = "check", value_name = "MARK")]
    min_score: Option<f64>,

    /// Only errors are told
    #[arg(long, short, value_parser = FalseyValueParser::new())]
    pub quiet: bool,
}

impl ExportArgs {
    pub fn conversion(&self) -> Result<Conversion> {
        let export = self.subtitles.export_options()?;
        Ok(Conversion { inputs: self.inputs.clone(), outputs: self.files.plan(true)?, export })
    }
}

/// Prints a line for each file; the error says of how many the mark is too low, or what cannot be read.
pub fn check(args: &ExportArgs, printer: Printer) -> Result<()> {
    let options = args.subtitles.export_options()?;
    let mut failure = None;
    let mut low = 0;
    for path in &args.inputs {
        match check_cues(path, &options) {
            Ok(found) => {
                low += usize::from(args.min_score.is_some_and(|least| found.score < least));
                told(printer.text(&format!("{}: {}", path.display(), line(&found))))?;
            }
            Err(error) => {
                printer.error(&error);
                failure = Some(error);
            }
        }
    }
    match (failure, args.min_score) {
        (Some(error), _) => Err(error),
        (None, Some(least)) if low > 0 => {
            let why = format!("missed by {low} of {} files", args.inputs.len());
            Err(Error::QualityGate { gate: format!("`--min-score {least}`"), why })
        }
        _ => Ok(()),
    }
}

/// Whoever reads no further has what they wanted.
fn told(printed: io::Result<()>) -> Result<()> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

fn line(found: &CueQuality) -> String {
    let rules = [
        (found.empty, "empty"),
        (found.overlaps, "overlapping"),
        (found.long_lines, "with long lines"),
        (found.too_many_lines, "with too many lines"),
        (found.too_fast, "too fast"),
        (found.too_short, "too short"),
        (found.too_long, "too long"),
        (found.small_gaps, "too close to the one before"),
    ];
    let broken: Vec<String> =
        rules.iter().filter(|(count, _)| *count > 0).map(|(count, rule)| format!("{count} {rule}")).collect();
    let what = if broken.is_empty() { "nothing to find fault with".into() } else { broken.join(", ") };
    format!("{:.1} of 100, {} cues: {what}", found.score, found.cues)
}
