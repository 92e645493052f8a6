//! `transcribe export`: converts transcripts, or checks how readable subtitles are.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap::builder::FalseyValueParser;

use super::args::{CliCommand, CommandLine, FileArgs, SubtitleArgs};
use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::progress::ProgressMode;
use super::run_output::{RunOutput, TextOutput};
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::export::CueQuality;
use crate::run::{self, Conversion, check_cues};

/// Convert transcripts to other formats, without a model: JSON of this program, openai-whisper, faster-whisper, whisperX,
/// whisper.cpp and transformers, and subtitles
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct ExportArgs {
    /// Transcripts: json, html, srt, vtt, tsv, txt; - reads JSON from standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    #[command(flatten)]
    files: FileArgs,

    #[command(flatten)]
    subtitles: SubtitleArgs,

    /// Check the subtitles in these files instead of converting them: count cues that are too long, too fast, too close
    /// etc., and rate each file from 0 to 100
    #[arg(long, conflicts_with_all = ["export", "output_dir"])]
    check: bool,

    /// With --check: exit with code 7 if a file has a lower score
    #[arg(long, requires = "check", value_name = "SCORE")]
    min_score: Option<f64>,

    /// Print only warnings and errors
    #[arg(long, short, value_parser = FalseyValueParser::new())]
    quiet: bool,
}

impl ExportArgs {
    fn conversion(&self) -> crate::error::Result<Conversion> {
        let export = self.subtitles.export_options()?;
        let outputs = self.files.output_options(true)?;
        Ok(Conversion { inputs: self.inputs.clone(), outputs, export, may_lack_words: false })
    }
}

pub fn run(all: &CommandLine, args: &ExportArgs, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    let printer = if args.quiet { printer.quiet() } else { printer };
    if args.check {
        return check(args, printer);
    }
    let rebuild = |other: &CommandLine| match &other.command {
        Some(CliCommand::Export(export)) => export.conversion().map(drop),
        _ => Ok(()),
    };
    let conversion = args.conversion().map_err(|error| all.locate(error, rebuild))?;
    let conversion = Conversion { may_lack_words: !all.sets_word_options(), ..conversion };
    let text = TextOutput {
        is_printed: conversion.outputs.formats.is_empty(),
        with_times: false,
        with_names: printer.prints_to_terminal(),
    };
    let output = RunOutput::new(printer, ProgressMode::None, text, cancel);
    let mut observers = Observers::new(output, &ReportFiles::default(), cancel)?;
    let outcome = observers.observe(|context| run::convert(&conversion, context));
    Ok(observers.finish(&outcome))
}

/// Prints a line for each file. Fails if a file cannot be read or the score of a file is too low.
fn check(args: &ExportArgs, printer: Printer) -> Result<ExitCode> {
    let options = args.subtitles.export_options()?;
    let mut failure = None;
    let mut low = 0;
    for path in &args.inputs {
        match check_cues(path, &options) {
            Ok(found) => {
                low += usize::from(args.min_score.is_some_and(|least| found.score < least));
                printer.result(&format!("{}: {}", path.display(), line(&found)))?;
            }
            Err(error) => {
                if let Some(previous) = failure.replace(error) {
                    printer.error(&previous);
                }
            }
        }
    }
    match (failure, args.min_score) {
        (Some(error), _) => Err(error.into()),
        (None, Some(least)) if low > 0 => {
            let why = format!("not met by {low} of {} files", args.inputs.len());
            Err(Error::QualityGate { gate: format!("`--min-score {least}`"), why }.into())
        }
        _ => Ok(ExitCode::Done),
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
        (found.small_gaps, "too close to the previous one"),
    ];
    let broken: Vec<String> =
        rules.iter().filter(|(count, _)| *count > 0).map(|(count, rule)| format!("{count} {rule}")).collect();
    let what = if broken.is_empty() { "no problems".into() } else { broken.join(", ") };
    format!("{:.1} of 100, {} cues: {what}", found.score, found.cues)
}
