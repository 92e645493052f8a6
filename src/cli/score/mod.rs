//! `transcribe score`: options, limits and reports.

mod comparison;
mod table;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use rayon::prelude::*;

use self::comparison::{ComparedPair, Scorer};
use super::alignment::AlignmentRenderer;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::score::normalise::BasicNormaliser;
use crate::score::{self, GateResult, Gates, PairPreference, PairResult, Score, WordAlignment};
use crate::store::write_file;

const TEXT: &str = "Text";
const SPEAKERS: &str = "Speakers";
const LIMITS: &str = "Limits";
const REPORT: &str = "Report";

/// Compare transcripts with references: word and character error rates, timing errors, and who speaks when
///
/// REFERENCE is the correct transcript, HYPOTHESIS the one to rate: two files, or two folders whose files are paired by
/// name. Supported formats are txt, srt, vtt, tsv, the HTML pages of this program (not in folders), and the JSON of this
/// program, openai's, faster-whisper, whisperX, whisper.cpp and transformers.
///
/// Where both name speakers, the diarization error rate (DER) and the word error rate of the speakers' texts (cpWER) are
/// computed, too. RTTM files have the former alone. A reference can also be STM or lines such as `Anna: Good morning.`
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ScoreArgs {
    /// Correct transcript: a file or a folder
    reference: PathBuf,

    /// Transcript to rate: a file or a folder
    hypothesis: PathBuf,

    /// Text normaliser, as openai's [default: english for English, otherwise basic]
    #[arg(long, visible_alias = "normalizer", env = "TRANSCRIBE_NORMALISER", value_name = "NAME", hide_env = true,
        help_heading = TEXT)]
    normaliser: Option<NormaliserChoice>,

    /// Spoken language, if no transcript names it
    #[arg(long, short, env = "TRANSCRIBE_LANGUAGE", hide_env = true, help_heading = TEXT)]
    language: Option<String>,

    /// Remove diacritics, so that é equals e; only with basic
    #[arg(long, alias = "remove_diacritics", env = "TRANSCRIBE_REMOVE_DIACRITICS",
        value_parser = FalseyValueParser::new(), hide_env = true, help_heading = TEXT)]
    remove_diacritics: bool,

    /// Count every letter as a word, for scripts without spaces; only with basic
    #[arg(long, alias = "split_letters", env = "TRANSCRIBE_SPLIT_LETTERS", value_parser = FalseyValueParser::new(),
        hide_env = true, help_heading = TEXT)]
    split_letters: bool,

    /// Compare who speaks when, not text; files that are neither RTTM nor have labels of speakers are read as RTTM
    #[arg(long, env = "TRANSCRIBE_RTTM", value_parser = FalseyValueParser::new(), hide_env = true,
        conflicts_with_all = ["alignment", "max_wer", "max_cer", "max_timing_error", "max_cpwer"],
        help_heading = SPEAKERS)]
    rttm: bool,

    /// Maximum word error rate: 5% or 0.05
    #[arg(long, alias = "max_wer", env = "TRANSCRIBE_MAX_WER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_wer: Option<RateArg>,

    /// Maximum character error rate
    #[arg(long, alias = "max_cer", env = "TRANSCRIBE_MAX_CER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_cer: Option<RateArg>,

    /// Maximum mean timing error, of words if both transcripts have word times, otherwise of segments
    #[arg(long, alias = "max_timing_error", env = "TRANSCRIBE_MAX_TIMING_ERROR", value_name = "SECONDS",
        hide_env = true, help_heading = LIMITS)]
    max_timing_error: Option<SecondsArg>,

    /// Maximum diarization error rate, with overlaps and without a collar
    #[arg(long, alias = "max_der", env = "TRANSCRIBE_MAX_DER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_der: Option<RateArg>,

    /// Maximum word error rate of the speakers' texts (cpWER)
    #[arg(long, alias = "max_cpwer", env = "TRANSCRIBE_MAX_CPWER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_cpwer: Option<RateArg>,

    /// Apply the limits to each pair instead of the total
    #[arg(long, alias = "per_file", env = "TRANSCRIBE_PER_FILE", value_parser = FalseyValueParser::new(),
        hide_env = true, help_heading = LIMITS)]
    per_file: bool,

    /// Show the texts word by word with deletions, insertions and substitutions
    #[arg(long, env = "TRANSCRIBE_ALIGNMENT", value_parser = FalseyValueParser::new(), hide_env = true,
        conflicts_with = "json", help_heading = REPORT)]
    alignment: bool,

    /// Print one line of JSON
    #[arg(long, env = "TRANSCRIBE_JSON", value_parser = FalseyValueParser::new(), hide_env = true,
        help_heading = REPORT)]
    json: bool,

    /// Write a JUnit XML file with a test case for each pair and limit
    #[arg(long, env = "TRANSCRIBE_JUNIT", value_name = "FILE", hide_env = true, help_heading = REPORT)]
    junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum NormaliserChoice {
    English,
    Basic,
    None,
}

/// An error rate such as `5%` or `0.05`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct RateArg(f64);

impl FromStr for RateArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, whole) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), 100.0),
            None => (text.trim(), 1.0),
        };
        let rate =
            number.parse::<f64>().map_err(|_| "must be a rate such as `5%` or `0.05`".to_owned())? / whole;
        match rate {
            // An error rate can exceed 1, but 5 hardly means 500 %.
            _ if whole == 1.0 && rate > 1.0 => Err(format!("is more than 100 %; did you mean `{text}%`?")),
            _ if rate >= 0.0 && rate.is_finite() => Ok(RateArg(rate)),
            _ => Err("must not be negative".into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct SecondsArg(f64);

impl FromStr for SecondsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds =
            text.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
        seconds.map(SecondsArg).ok_or_else(|| "must be a number of seconds".into())
    }
}

impl ScoreArgs {
    fn gates(&self) -> Gates {
        Gates {
            max_wer: self.max_wer.map(|rate| rate.0),
            max_cer: self.max_cer.map(|rate| rate.0),
            max_timing_error: self.max_timing_error.map(|seconds| seconds.0),
            max_der: self.max_der.map(|rate| rate.0),
            max_cpwer: self.max_cpwer.map(|rate| rate.0),
        }
    }

    fn scorer(&self) -> Result<Scorer> {
        let named = self.language.as_deref().filter(|language| !language.eq_ignore_ascii_case("auto"));
        let language = named.map(str::parse).transpose()?;
        let basic =
            BasicNormaliser { remove_diacritics: self.remove_diacritics, split_letters: self.split_letters };
        let other = self.normaliser.is_some_and(|choice| choice != NormaliserChoice::Basic);
        if other && basic != BasicNormaliser::default() {
            return Err(Error::usage(
                "`--remove-diacritics` and `--split-letters`",
                "require `--normaliser basic`",
            ));
        }
        // Options of the basic normaliser select it.
        let choice = self
            .normaliser
            .or_else(|| (basic != BasicNormaliser::default()).then_some(NormaliserChoice::Basic));
        Ok(Scorer { choice, language, basic, turns_only: self.rttm })
    }
}

pub fn run(args: &ScoreArgs, printer: Printer, cancel: &CancelToken) -> anyhow::Result<ExitCode> {
    let errors = compare_all(args, printer, cancel)?;
    errors.iter().for_each(|error| printer.error(error));
    // The most severe error has the highest code.
    Ok(errors.iter().map(ExitCode::from).max_by_key(|code| *code as u8).unwrap_or(ExitCode::Done))
}

/// Compares all pairs and returns the errors of single pairs and the gates that were not met.
fn compare_all(args: &ScoreArgs, printer: Printer, cancel: &CancelToken) -> Result<Vec<Error>> {
    let scorer = args.scorer()?;
    let preference = if args.rttm { PairPreference::Turns } else { PairPreference::Text };
    let pairs = score::find_pairs(&args.reference, &args.hypothesis, preference)?;
    let compared: Vec<_> = pairs.par_iter().map(|pair| scorer.compare(pair, cancel)).collect();
    cancel.check()?;

    let (mut total, mut errors) = (Score::default(), Vec::new());
    let (mut results, mut alignments, mut gate_results) = (Vec::new(), Vec::new(), Vec::new());
    for (pair, compared) in pairs.into_iter().zip(compared) {
        let result = match compared {
            Ok(ComparedPair { score, aligned, normaliser }) => {
                total.add(&score);
                if args.per_file {
                    gate_results.extend(args.gates().check(Some(&pair.name), &score));
                }
                alignments.push(aligned);
                Ok((score, normaliser))
            }
            Err(error) => {
                let message = error.chain();
                errors.push(error);
                alignments.push(WordAlignment::default());
                Err(message)
            }
        };
        results.push(PairResult { pair, result });
    }
    if !args.per_file && errors.len() < results.len() {
        gate_results = args.gates().check(None, &total);
    }
    let text = match args.json {
        true => score::json_report(&results, &total, &gate_results).to_string(),
        false => {
            let renderer = AlignmentRenderer::new(printer.shows_colours(), printer.width());
            table::render(&results, &alignments, &total, args.alignment.then_some(renderer))
        }
    };
    if !text.is_empty() {
        printer.result(&text)?;
    }
    if let Some(path) = &args.junit {
        write_file(path, score::junit_report(&results, &gate_results).as_bytes())?;
    }
    let missed = gate_results.iter().filter(|gate| !gate.is_met());
    errors.extend(missed.map(|gate: &GateResult| Error::QualityGate {
        gate: format!("`{}`", gate.limit()),
        why: gate.message(),
    }));
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_rates_and_percentages() {
        for (text, rate) in
            [("0.05", 0.05), ("5%", 0.05), ("5 %", 0.05), ("0", 0.0), ("1", 1.0), ("150%", 1.5)]
        {
            assert_eq!(text.parse(), Ok(RateArg(rate)), "{text}");
        }
        for text in ["5", "-1%", "nan", "inf%", "%", "five"] {
            assert!(text.parse::<RateArg>().is_err(), "{text}");
        }
    }
}
