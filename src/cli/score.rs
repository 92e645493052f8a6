//! `transcribe score`: options, comparison of transcripts, and results as a table.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::alignment::AlignmentRenderer;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::cancel::CancelToken;
use crate::decode::Language;
use crate::error::{Error, Result};
use crate::import;
use crate::score::normalise::BasicNormaliser;
use crate::score::{
    self, GateResult, Gates, Normaliser, PairResult, Score, TimingErrors, TimingStatistics, TranscriptPair,
    WordAlignment,
};
use crate::store::write_file;

const TEXT: &str = "Text";
const LIMITS: &str = "Limits";
const REPORT: &str = "Report";

/// Compare transcripts with references: word and character error rates, and timing errors
///
/// REFERENCE is the correct transcript, HYPOTHESIS the one to rate: two files, or two folders whose files are paired by
/// name. Supported formats are txt, srt, vtt, tsv, the HTML pages of this program (not in folders), and the JSON of this
/// program, openai's, faster-whisper, whisperX, whisper.cpp and transformers.
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

/// The result of comparing a pair.
struct ComparedPair {
    score: Score,
    aligned: WordAlignment,
    normaliser: &'static str,
}

/// Compares transcripts according to the options.
struct Scorer {
    choice: Option<NormaliserChoice>,
    language: Option<Language>,
    basic: BasicNormaliser,
}

impl ScoreArgs {
    fn gates(&self) -> Gates {
        Gates {
            max_wer: self.max_wer.map(|rate| rate.0),
            max_cer: self.max_cer.map(|rate| rate.0),
            max_timing_error: self.max_timing_error.map(|seconds| seconds.0),
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
        Ok(Scorer { choice, language, basic })
    }
}

impl Scorer {
    fn compare(&self, pair: &TranscriptPair, cancel: &CancelToken) -> Result<ComparedPair> {
        cancel.check()?;
        pair.check()?;
        let (reference, hypothesis) = (import::read(&pair.reference)?, import::read(&pair.hypothesis)?);
        let named = self.language.map(Language::code);
        let language = named.or(hypothesis.language.as_deref()).or(reference.language.as_deref());
        let normaliser = match self.choice {
            Some(NormaliserChoice::English) => Normaliser::English,
            Some(NormaliserChoice::Basic) => Normaliser::Basic(self.basic),
            Some(NormaliserChoice::None) => Normaliser::None,
            None => Normaliser::for_language(language),
        };
        let (score, aligned) = score::score(&reference, &hypothesis, &normaliser);
        Ok(ComparedPair { score, aligned, normaliser: normaliser.name() })
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
    let pairs = score::find_pairs(&args.reference, &args.hypothesis)?;
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
            table(&results, &alignments, &total, args.alignment.then_some(renderer))
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

/// Formats the results as a table.
fn table(
    results: &[PairResult],
    alignments: &[WordAlignment],
    total: &Score,
    renderer: Option<AlignmentRenderer>,
) -> String {
    let mut lines = Vec::new();
    for (result, aligned) in results.iter().zip(alignments) {
        let Ok((score, _)) = &result.result else { continue };
        lines.extend(score_lines(&result.pair.name, score));
        if let Some(renderer) = &renderer {
            lines.extend([String::new(), renderer.render(aligned), String::new()]);
        }
    }
    if results.len() > 1 && !lines.is_empty() {
        lines.extend(score_lines(&format!("all {}", results.len()), total));
    }
    lines.join("\n")
}

fn score_lines(name: &str, score: &Score) -> Vec<String> {
    let words = &score.words;
    let percent = |rate: f64| format!("{:.2} %", rate * 100.0);
    let mut lines = vec![
        name.to_owned(),
        format!(
            "  WER {}  CER {}  MER {}  WIL {}",
            percent(words.error_rate()),
            percent(score.characters.error_rate()),
            percent(words.match_error_rate()),
            percent(words.information_lost())
        ),
        format!(
            "  {} words: {} correct, {} substituted, {} deleted; {} inserted",
            words.reference(),
            words.hits,
            words.substitutions,
            words.deletions,
            words.insertions
        ),
    ];
    for TimingErrors { level, starts, ends } in &score.timings {
        for (edge, errors) in [("starts", starts), ("ends", ends)] {
            lines.extend(TimingStatistics::of(errors).map(|TimingStatistics { count, mean, median, p95, max, bias }| {
                format!(
                    "  {edge} of {count} {}: mean error {mean:.3} s (bias {bias:+.3}), median {median:.3}, 95th percentile \
                     {p95:.3}, max {max:.3}",
                    level.name()
                )
            }));
        }
    }
    lines
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
