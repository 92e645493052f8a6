//! The command line: options and commands, their help, and the requests that they are turned into.

mod brief;
mod decoding;
mod ineffective;
mod inputs;
mod load;
mod memory;
mod model;
mod output;
mod parts;
mod porting;
mod reporting;
mod speakers;
mod speech;
mod subtitles;
mod switches;
mod transcription;
mod words;

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

pub use self::brief::{BriefHelp, PAGE as BRIEF_HELP};
pub use self::inputs::DryRunFormat;
pub use self::load::LoadError;
pub use self::memory::DurationArg;
pub use self::model::ReleaseArg;
pub use self::output::FileArgs;
pub use self::speech::chunk_length;
pub use self::subtitles::SubtitleArgs;
pub use self::switches::{PlainLine, apply_opposites};
pub use self::transcription::TranscribeArgs;

use self::inputs::InputArgs;
use self::load::ArgSources;
use crate::cli::bench::BenchArgs;
use crate::cli::completions::{CompletionsArgs, ManArgs};
use crate::cli::doctor::DoctorArgs;
use crate::cli::exit;
use crate::cli::export::ExportArgs;
use crate::cli::models::ModelsArgs;
use crate::cli::report::ReportArgs;
use crate::cli::score::ScoreArgs;
use crate::cli::serve::ServeArgs;
use crate::cli::voices::VoicesArgs;
use crate::cli::watch::WatchArgs;
use crate::error::Result;
use crate::export::Format;
use crate::report::RunInfo;
use crate::run::RunRequest;

const GENERAL: &str = "General";

const ABOUT: &str = "Transcribe recordings to text or subtitles.

Reads audio and video files of any common format and any length, and runs OpenAI's Whisper models locally.";

const EXAMPLES: &str = "Examples:
  transcribe talk.mp3                                 print the text as it is decoded
  transcribe talk.mp3 --export srt                    write subtitles to talk.srt
  transcribe *.m4a --export srt,txt --output-dir out  transcribe many files to two formats each
  transcribe talk.mp3 --model demo                    try the program out (not a real model)
  transcribe vortrag.ogg --language de                set the language instead of detecting it
  transcribe vortrag.ogg --task translate             translate German speech to English text
  transcribe export talk.json --export srt            convert a transcript, without a model
  transcribe score truth.txt talk.srt                 compute the word error rate
  transcribe watch inbox --export srt                 transcribe files as they arrive in a folder
  transcribe serve                                    answer requests over HTTP, with OpenAI's API
  transcribe models pull large-v3                     download a model in advance
  transcribe doctor                                   check this machine
  curl -sL https://host/talk.mp3 | transcribe -       transcribe the output of another program

Every option can also be set in the environment (--output-dir as TRANSCRIBE_OUTPUT_DIR) or in transcribe.toml
(output-dir = \"out\"). --print-config shows all settings and where they come from. Every
switch has an opposite that overrides those: --no-vad for --vad, --resume for --no-resume.
HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are respected when models are downloaded.";

/// A number, or `none` to disable what it limits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Threshold(Option<f64>);

impl std::str::FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Threshold(None));
        }
        let number: f64 = text.parse().map_err(|_| "must be a number or `none`".to_owned())?;
        if number.is_nan() { Err("must be a number or `none`".into()) } else { Ok(Threshold(Some(number))) }
    }
}

/// The commands other than transcribing.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    Bench(BenchArgs),
    Completions(CompletionsArgs),
    Doctor(DoctorArgs),
    Export(Box<ExportArgs>),
    Report(ReportArgs),
    Man(ManArgs),
    Models(ModelsArgs),
    Score(ScoreArgs),
    Serve(Box<ServeArgs>),
    Voices(VoicesArgs),
    Watch(Box<WatchArgs>),
}

#[derive(Debug, Parser)]
#[command(name = "transcribe", about = ABOUT, max_term_width = 100, allow_negative_numbers = true,
    args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Option<CliCommand>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    pub transcribe: TranscribeArgs,

    /// The options that were set, with their values.
    #[arg(skip)]
    explicit_options: Vec<(String, Vec<String>)>,

    #[command(flatten)]
    config: ConfigArgs,

    #[arg(skip)]
    sources: ArgSources,
}

/// Options that select the configuration file.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// Configuration file with long option names as keys, as in `model = "small"` [default:
    /// transcribe/transcribe.toml in the user's configuration folder, if it exists]
    #[arg(long, env = "TRANSCRIBE_CONFIG", value_name = "FILE", global = true, help_heading = GENERAL)]
    config: Option<PathBuf>,

    /// Do not read a configuration file
    #[arg(long, env = "TRANSCRIBE_NO_CONFIG", value_parser = FalseyValueParser::new(), global = true,
        help_heading = GENERAL)]
    no_config: bool,

    /// Print all settings and where they come from as a configuration file, and exit
    #[arg(long, help_heading = GENERAL)]
    print_config: bool,
}

impl CommandLine {
    /// Returns the command with its help.
    pub fn described() -> clap::Command {
        let version =
            format!("{} ({})", env!("CARGO_PKG_VERSION"), crate::device::compiled_backends().join(", "));
        let after = format!("{EXAMPLES}\n\n{}\n\n{}", format_table(), exit::table());
        // A sentence at the end explains the environment variables; naming them at every option would hide the options.
        let without_env = |command: clap::Command| command.mut_args(|arg| arg.hide_env(true));
        let command = without_env(Self::command()).mut_subcommands(without_env);
        command.version(version).disable_help_flag(true).disable_version_flag(true).after_help(after).args([
            clap::Arg::new("help")
                .long("help")
                .short('h')
                .action(ArgAction::HelpShort)
                .global(true)
                .help("Print this help; -h prints the most used options")
                .help_heading(GENERAL),
            clap::Arg::new("version")
                .long("version")
                .short('V')
                .action(ArgAction::Version)
                .help("Print the version and the compiled-in devices")
                .help_heading(GENERAL),
        ])
    }

    /// Returns what a report says about the run.
    pub fn run_info(&self) -> RunInfo {
        RunInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            compiled: crate::device::compiled_backends().iter().map(ToString::to_string).collect(),
            options: self.explicit_options.clone(),
            shard: None,
        }
    }

    /// Returns the options that were set, with their values.
    pub fn explicit_options(&self) -> &[(String, Vec<String>)] {
        &self.explicit_options
    }

    /// Returns how to show what would be done, if this is a dry run.
    pub fn dry_run(&self) -> Option<DryRunFormat> {
        self.input.dry_run.filter(|how| *how != DryRunFormat::No)
    }

    /// Builds the request to transcribe; an error names the setting that caused it.
    pub fn request(&self) -> Result<RunRequest> {
        self.build_request().map_err(|error| self.locate(error, Self::build_request))
    }

    fn build_request(&self) -> Result<RunRequest> {
        let (inputs, discovery) = (self.input.inputs.clone(), self.input.discovery());
        let mut request = self.transcribe.request(inputs, discovery, !self.sets_word_options())?;
        request.plan.shard = self.input.shard()?;
        Ok(request)
    }
}

/// Lists the export formats for `--help`.
fn format_table() -> String {
    let lines = Format::ALL.map(|format| format!("  {:4}  {}", format.name(), format.description()));
    format!("Export formats:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeOptions, SuppressTokens, WordTimes};

    fn args(line: &[&str]) -> CommandLine {
        CommandLine::try_parse_from([&["transcribe", "talk.mp3"], line].concat()).unwrap()
    }

    #[test]
    fn defaults_are_those_of_openai() {
        let request = args(&[]).request().unwrap();
        assert_eq!(
            request.plan.settings.decode,
            DecodeOptions { best_of: Some(5), beam_size: Some(1), ..DecodeOptions::default() }
        );
        assert!(request.plan.outputs.formats.is_empty());
    }

    #[test]
    fn every_option_has_a_variable_and_a_heading() {
        let command = CommandLine::described();
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
    fn temperatures_increase_in_steps() {
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
    fn accepts_both_spellings_of_word_timestamps() {
        let words = |line: &[&str]| args(line).request().unwrap().plan.settings.decode.word_times;
        assert_eq!(words(&[]), WordTimes::None);
        assert_eq!(words(&["--word-timestamps", "other.mp3"]), WordTimes::OpenAi);
        assert_eq!(words(&["--word_timestamps", "True", "other.mp3"]), WordTimes::OpenAi);
        assert_eq!(words(&["--word_timestamps", "False"]), WordTimes::None);
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
    fn accepts_the_spelling_of_openai() {
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
