//! The command line: what can be said, how it is explained, and what the library is to be told.

mod config;
mod decoding;
mod explicit;
mod inputs;
mod load;
mod memory;
mod model;
mod output;
mod parts;
mod reporting;
mod speech;
mod subtitles;
mod transcription;
mod words;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

pub use self::inputs::DryRunFormat;
pub use self::memory::Time;
pub use self::model::Release;
pub use self::output::FileArgs;
pub use self::speech::chunk_length;
pub use self::subtitles::SubtitleArgs;
pub use self::transcription::WorkArgs;

use self::config::ConfigArgs;
use self::inputs::InputArgs;
use self::load::Source;
use crate::cli::bench::BenchArgs;
use crate::cli::completions::{CompletionsArgs, ManArgs};
use crate::cli::doctor::DoctorArgs;
use crate::cli::exit;
use crate::cli::export::ExportArgs;
use crate::cli::models::ModelsArgs;
use crate::cli::report::ReportArgs;
use crate::cli::score::ScoreArgs;
use crate::cli::watch::WatchArgs;
use crate::error::Result;
use crate::report::RunInfo;
use crate::run::RunRequest;

const GENERAL: &str = "General";

const ABOUT: &str = "Writes down what is said in recordings: text, or subtitles with times.

Takes audio and video files of any common kind and any length, and runs OpenAI's Whisper models on this machine.";

const EXAMPLES: &str = "Examples:
  transcribe talk.mp3                                 the text, as it is understood
  transcribe talk.mp3 --export srt                    subtitles into talk.srt
  transcribe *.m4a --export srt,txt --output-dir out  many files, two formats each
  transcribe talk.mp3 --model demo                    try it with no download
  transcribe vortrag.ogg --language de                German, without guessing
  transcribe vortrag.ogg --task translate             German speech, English text
  transcribe export talk.json --export srt            from a transcript, with no model
  transcribe score truth.txt talk.srt                 how many words are wrong
  transcribe watch inbox --export srt                 what comes into a folder, as it comes
  transcribe models pull large-v3                     fetch a model before it is needed
  transcribe doctor                                   whether all is well on this machine
  curl -sL https://host/talk.mp3 | transcribe -       from another program

Every option can be set in the environment, too: --output-dir as TRANSCRIBE_OUTPUT_DIR, and so on; or in a file
transcribe.toml, as output-dir = \"out\". --print-config tells what holds and why.
HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are respected when models are fetched.";

/// A value that can be switched off by `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Threshold(Option<f64>);

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Threshold(None));
        }
        let number: f64 = text.parse().map_err(|_| "not a number, nor `none`".to_owned())?;
        if number.is_nan() { Err("not a number".into()) } else { Ok(Threshold(Some(number))) }
    }
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    Doctor(DoctorArgs),
    Export(Box<ExportArgs>),
    Report(ReportArgs),
    Man(ManArgs),
    Models(ModelsArgs),
    Score(ScoreArgs),
    Watch(Box<WatchArgs>),
}

#[derive(Debug, Parser)]
#[command(name = "transcribe", about = ABOUT, max_term_width = 100, allow_negative_numbers = true,
    args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    pub work: WorkArgs,

    /// Options that were set, with their values.
    #[arg(skip)]
    said: Vec<(String, Vec<String>)>,

    #[command(flatten)]
    config: ConfigArgs,

    #[arg(skip)]
    source: Source,
}

impl Args {
    pub fn described() -> clap::Command {
        let version =
            format!("{} ({})", env!("CARGO_PKG_VERSION"), crate::device::compiled_backends().join(", "));
        let after = format!("{EXAMPLES}\n\n{}", exit::table());
        // One sentence at the end tells about the environment; said at every option it hides the options.
        let silent = |command: clap::Command| command.mut_args(|arg| arg.hide_env(true));
        let command = silent(Self::command()).mut_subcommands(silent);
        command.version(version).disable_help_flag(true).disable_version_flag(true).after_help(after).args([
            clap::Arg::new("help")
                .long("help")
                .short('h')
                .action(ArgAction::HelpShort)
                .global(true)
                .help("Tell all this")
                .help_heading(GENERAL),
            clap::Arg::new("version")
                .long("version")
                .short('V')
                .action(ArgAction::Version)
                .help("Tell the version and what it can compute on")
                .help_heading(GENERAL),
        ])
    }

    /// What a report says of the run.
    pub fn info(&self) -> RunInfo {
        RunInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            compiled: crate::device::compiled_backends().iter().map(ToString::to_string).collect(),
            options: self.said.clone(),
            shard: None,
        }
    }

    /// How to tell what would be done, if nothing is to be done.
    pub fn dry_run(&self) -> Option<DryRunFormat> {
        self.input.dry_run.filter(|how| *how != DryRunFormat::No)
    }

    /// What the library is to do.
    pub fn request(&self) -> Result<RunRequest> {
        self.as_said().map_err(|error| self.blame(error, Self::as_said))
    }

    fn as_said(&self) -> Result<RunRequest> {
        let mut request = self.work.request(self.input.inputs.clone(), self.input.finding())?;
        request.plan.shard = self.input.shard()?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeOptions, SuppressTokens};
    use crate::export::Format;

    fn args(line: &[&str]) -> Args {
        Args::try_parse_from([&["transcribe", "talk.mp3"], line].concat()).unwrap()
    }

    #[test]
    fn the_defaults_are_openais() {
        let request = args(&[]).request().unwrap();
        assert_eq!(
            request.plan.settings.decode,
            DecodeOptions { best_of: Some(5), beam_size: Some(1), ..DecodeOptions::default() }
        );
        assert!(request.plan.outputs.formats.is_empty());
    }

    #[test]
    fn every_option_has_its_variable_and_a_group() {
        let command = Args::described();
        command.clone().debug_assert();
        let options: Vec<_> =
            command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set()).collect();
        assert!(options.len() > 20);
        for option in options {
            let long = option.get_long().unwrap();
            assert!(option.get_help_heading().is_some(), "{long}");
            if !["help", "version", "print-config"].contains(&long) {
                let variable = format!("TRANSCRIBE_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(option.get_env().and_then(|env| env.to_str()), Some(variable.as_str()));
            }
        }
    }

    #[test]
    fn temperatures_fall_back_in_steps() {
        let temperatures = |line: &[&str]| {
            args(line).request().map(|request| request.plan.settings.decode.temperatures.clone())
        };
        assert_eq!(temperatures(&[]).unwrap(), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(temperatures(&["--temperature", "0.5"]).unwrap(), [0.5, 0.7, 0.9]);
        assert_eq!(temperatures(&["--temperature-increment-on-fallback", "none"]).unwrap(), [0.0]);
        assert_eq!(temperatures(&["--temperature", "1.5"]).unwrap(), [1.5]);
        for step in ["0", "-1", "1e-9", "inf"] {
            let option = format!("--temperature-increment-on-fallback={step}");
            assert!(temperatures(&[&option]).is_err(), "{step}");
        }
    }

    #[test]
    fn words_are_asked_for_in_either_spelling() {
        let words = |line: &[&str]| args(line).request().unwrap().plan.settings.decode.word_timestamps;
        assert!(!words(&[]));
        assert!(words(&["--word-timestamps", "other.mp3"]));
        assert!(words(&["--word_timestamps", "True", "other.mp3"]));
        assert!(!words(&["--word_timestamps", "False"]));
        let silence = ["--hallucination_silence_threshold", "2"];
        assert!(args(&silence).request().is_err());
        let request = args(&[&silence[..], &["--word-timestamps"]].concat()).request().unwrap();
        assert_eq!(request.plan.settings.decode.hallucination_silence_threshold, Some(2.0));
        let marks = args(&["--prepend_punctuations", "-", "--append-punctuations", ""])
            .request()
            .unwrap()
            .plan
            .settings
            .decode
            .clone();
        assert_eq!((marks.prepend_punctuations.as_str(), marks.append_punctuations.as_str()), ("-", ""));
    }

    #[test]
    fn openais_spelling_is_understood() {
        let request = args(&[
            "--condition_on_previous_text",
            "False",
            "--output_format",
            "srt",
            "--logprob_threshold",
            "None",
        ]);
        let request = request.request().unwrap();
        assert!(!request.plan.settings.decode.condition_on_previous_text);
        assert_eq!(request.plan.settings.decode.logprob_threshold, None);
        assert_eq!(request.plan.outputs.formats, [Format::Srt]);
        assert_eq!(
            args(&["--logprob-threshold", "-0.5"]).request().unwrap().plan.settings.decode.logprob_threshold,
            Some(-0.5)
        );
        assert_eq!(
            args(&["--suppress-tokens", "-1,50"]).request().unwrap().plan.settings.decode.suppress_tokens,
            SuppressTokens::List { non_speech: true, ids: vec![50] }
        );
    }
}
