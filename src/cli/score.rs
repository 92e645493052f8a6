//! `transcribe score`: its options, what it does with them, and its figures for people.

use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use rayon::prelude::*;

use super::alignment::Marks;
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

/// Compare transcripts with the truth: word and character error rate, and how far times are off
///
/// REFERENCE is what was said, HYPOTHESIS what a program wrote: two files, or two folders whose files are paired by name.
/// Understood are txt, srt, vtt, tsv, and the JSON of this program, openai's, faster-whisper, whisperX, whisper.cpp and
/// transformers.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ScoreArgs {
    /// What was said: a file, or a folder
    reference: PathBuf,

    /// What was understood: a file, or a folder
    hypothesis: PathBuf,

    /// How texts are made comparable, as openai's normalisers do [default: english for English, else basic]
    #[arg(long, visible_alias = "normalizer", env = "TRANSCRIBE_NORMALISER", value_name = "WHICH", hide_env = true,
        help_heading = TEXT)]
    normaliser: Option<Choice>,

    /// The language spoken, if no transcript says it
    #[arg(long, short, env = "TRANSCRIBE_LANGUAGE", hide_env = true, help_heading = TEXT)]
    language: Option<String>,

    /// Let é count as e; only with basic
    #[arg(long, alias = "remove_diacritics", env = "TRANSCRIBE_REMOVE_DIACRITICS",
        value_parser = FalseyValueParser::new(), hide_env = true, help_heading = TEXT)]
    remove_diacritics: bool,

    /// Let every letter be a word, for scripts without blanks; only with basic
    #[arg(long, alias = "split_letters", env = "TRANSCRIBE_SPLIT_LETTERS", value_parser = FalseyValueParser::new(),
        hide_env = true, help_heading = TEXT)]
    split_letters: bool,

    /// The largest word error rate: 5% or 0.05
    #[arg(long, alias = "max_wer", env = "TRANSCRIBE_MAX_WER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_wer: Option<Rate>,

    /// The largest character error rate
    #[arg(long, alias = "max_cer", env = "TRANSCRIBE_MAX_CER", value_name = "RATE", hide_env = true,
        help_heading = LIMITS)]
    max_cer: Option<Rate>,

    /// The largest mean error of times: of words if both sides have theirs, else of segments
    #[arg(long, alias = "max_timing_error", env = "TRANSCRIBE_MAX_TIMING_ERROR", value_name = "SECONDS",
        hide_env = true, help_heading = LIMITS)]
    max_timing_error: Option<Seconds>,

    /// Let the limits hold for each pair, not only for all together
    #[arg(long, alias = "per_file", env = "TRANSCRIBE_PER_FILE", value_parser = FalseyValueParser::new(),
        hide_env = true, help_heading = LIMITS)]
    per_file: bool,

    /// Show the texts word by word: what is missing, what is too much, and what should have been something else
    #[arg(long, env = "TRANSCRIBE_ALIGNMENT", value_parser = FalseyValueParser::new(), hide_env = true,
        conflicts_with = "json", help_heading = REPORT)]
    alignment: bool,

    /// Print one line of JSON
    #[arg(long, env = "TRANSCRIBE_JSON", value_parser = FalseyValueParser::new(), hide_env = true,
        help_heading = REPORT)]
    json: bool,

    /// Write a file of JUnit's XML, with a case for each pair and each limit
    #[arg(long, env = "TRANSCRIBE_JUNIT", value_name = "FILE", hide_env = true, help_heading = REPORT)]
    junit: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    English,
    Basic,
    None,
}

/// A part of all.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate(f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, whole) = match text.trim().strip_suffix('%') {
            Some(percent) => (percent.trim(), 100.0),
            None => (text.trim(), 1.0),
        };
        let rate = number.parse::<f64>().map_err(|_| "not a rate such as 5% or 0.05".to_owned())? / whole;
        match rate {
            // There may be more errors than words, but nobody means 500 % by a 5.
            _ if whole == 1.0 && rate > 1.0 => {
                Err(format!("more than everything; {text}% is written with its sign"))
            }
            _ if rate >= 0.0 && rate.is_finite() => Ok(Rate(rate)),
            _ => Err("must not be below 0".into()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Seconds(f64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds =
            text.trim().parse::<f64>().ok().filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
        seconds.map(Seconds).ok_or_else(|| "not a number of seconds".into())
    }
}

/// One pair compared.
struct Compared {
    score: Score,
    aligned: WordAlignment,
    normaliser: &'static str,
}

/// What the options make of two transcripts.
struct Scorer {
    choice: Option<Choice>,
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
        let said = self.language.as_deref().filter(|language| !language.eq_ignore_ascii_case("auto"));
        let language = said.map(str::parse).transpose()?;
        let basic =
            BasicNormaliser { remove_diacritics: self.remove_diacritics, split_letters: self.split_letters };
        let other = self.normaliser.is_some_and(|choice| choice != Choice::Basic);
        if other && basic != BasicNormaliser::default() {
            return Err(Error::usage(
                "`--remove-diacritics` and `--split-letters`",
                "only the basic normaliser can do that",
            ));
        }
        // Who asks for what only one can do has chosen it.
        let choice =
            self.normaliser.or_else(|| (basic != BasicNormaliser::default()).then_some(Choice::Basic));
        Ok(Scorer { choice, language, basic })
    }
}

impl Scorer {
    fn compare(&self, pair: &TranscriptPair, cancel: &CancelToken) -> Result<Compared> {
        cancel.check()?;
        let (reference, hypothesis) = (import::read(&pair.reference)?, import::read(&pair.hypothesis)?);
        let told = self.language.map(Language::code);
        let language = told.or(hypothesis.language.as_deref()).or(reference.language.as_deref());
        let normaliser = match self.choice {
            Some(Choice::English) => Normaliser::English,
            Some(Choice::Basic) => Normaliser::Basic(self.basic),
            Some(Choice::None) => Normaliser::None,
            None => Normaliser::for_language(language),
        };
        let (score, aligned) = score::score(&reference, &hypothesis, &normaliser);
        Ok(Compared { score, aligned, normaliser: normaliser.name() })
    }
}

/// Does what was asked for and says how it ended.
pub fn run(args: &ScoreArgs, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let errors = compare_all(args, printer, cancel).unwrap_or_else(|error| vec![error]);
    for error in errors.iter().filter(|error| !matches!(error, Error::Cancelled(_))) {
        printer.error(error);
    }
    // The graver has the higher number.
    errors.iter().map(ExitCode::from).max_by_key(|code| *code as u8).unwrap_or(ExitCode::Done)
}

/// All that is wrong in the end, which is no reason to stop before.
fn compare_all(args: &ScoreArgs, printer: Printer, cancel: &CancelToken) -> Result<Vec<Error>> {
    let scorer = args.scorer()?;
    let pairs = score::find_pairs(&args.reference, &args.hypothesis)?;
    let compared: Vec<_> = pairs.par_iter().map(|pair| scorer.compare(pair, cancel)).collect();
    cancel.check()?;

    let (mut total, mut errors) = (Score::default(), Vec::new());
    let (mut outcomes, mut alignments, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for (pair, compared) in pairs.into_iter().zip(compared) {
        let result = match compared {
            Ok(Compared { score, aligned, normaliser }) => {
                total.add(&score);
                if args.per_file {
                    verdicts.extend(args.gates().check(Some(&pair.name), &score));
                }
                alignments.push(aligned);
                Ok((score, normaliser))
            }
            Err(error) => {
                let told = error.chain();
                errors.push(error);
                alignments.push(WordAlignment::default());
                Err(told)
            }
        };
        outcomes.push(PairResult { pair, result });
    }
    if !args.per_file && errors.len() < outcomes.len() {
        verdicts = args.gates().check(None, &total);
    }
    let text = match args.json {
        true => score::json_report(&outcomes, &total, &verdicts).to_string(),
        false => {
            let marks = args.alignment.then(|| Marks::new(printer.shows_colours(), printer.width()));
            table(&outcomes, &alignments, &total, marks)
        }
    };
    print(printer, &text)?;
    if let Some(path) = &args.junit {
        write_file(path, score::junit_report(&outcomes, &verdicts).as_bytes())?;
    }
    let missed = verdicts.iter().filter(|verdict| !verdict.is_met());
    errors.extend(missed.map(|verdict: &GateResult| Error::QualityGate {
        gate: format!("`{}`", verdict.limit()),
        why: verdict.message(),
    }));
    Ok(errors)
}

/// A reader who has gone does not change how it ends.
fn print(printer: Printer, text: &str) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    match printer.styled(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}

/// The figures for people.
fn table(
    outcomes: &[PairResult],
    alignments: &[WordAlignment],
    total: &Score,
    marks: Option<Marks>,
) -> String {
    let mut lines = Vec::new();
    for (outcome, aligned) in outcomes.iter().zip(alignments) {
        let Ok((score, _)) = &outcome.result else { continue };
        lines.extend(figures(&outcome.pair.name, score));
        if let Some(marks) = &marks {
            lines.extend([String::new(), marks.show(aligned), String::new()]);
        }
    }
    if outcomes.len() > 1 && !lines.is_empty() {
        lines.extend(figures(&format!("all {}", outcomes.len()), total));
    }
    lines.join("\n")
}

fn figures(name: &str, score: &Score) -> Vec<String> {
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
            "  {} words: {} right, {} substituted, {} deleted; {} inserted",
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
                    "  {edge} of {count} {} off by {mean:.3} s on average ({bias:+.3}), half by up to {median:.3}, \
                     95 % by up to {p95:.3}, all by up to {max:.3}",
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
    fn rates_are_parts_or_percent() {
        for (text, rate) in
            [("0.05", 0.05), ("5%", 0.05), ("5 %", 0.05), ("0", 0.0), ("1", 1.0), ("150%", 1.5)]
        {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["5", "-1%", "nan", "inf%", "%", "five"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
