//! The command line: what can be said, how it is explained, and what the library is to be told.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, FalseyValueParser};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::audio::AudioOptions;
use crate::backend::hub::Hub;
use crate::cli::bench::BenchArgs;
use crate::cli::exit;
use crate::decode::{DecodeOptions, Language, SuppressTokens, Task};
use crate::device::DeviceRequest;
use crate::engine::ReleasePolicy;
use crate::error::{Error, Result};
use crate::export::Format;
use crate::job::{Job, ModelRequest, PlanOptions};

const OUTPUT: &str = "Output";
const MODEL: &str = "Model";
const SPEECH: &str = "Speech";
const AUDIO: &str = "Audio";
const DECODING: &str = "Decoding";
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
  curl -sL https://host/talk.mp3 | transcribe -       from another program

Every option can be set in the environment, too: --output-dir as TRANSCRIBE_OUTPUT_DIR, and so on.
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

/// A number that the program chooses if nobody says it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Auto(Option<usize>);

impl std::str::FromStr for Auto {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<usize>() {
            Ok(1..=1024) => Ok(Auto(text.parse().ok())),
            _ if text.eq_ignore_ascii_case("auto") => Ok(Auto(None)),
            _ => Err("must be `auto` or a number from 1 to 1024".into()),
        }
    }
}

/// When memory is given back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release(pub ReleasePolicy);

impl std::str::FromStr for Release {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be `every-chunk`, `never` or a number of chunks".to_owned();
        Ok(Release(match text {
            "every-chunk" => ReleasePolicy::default(),
            "never" => ReleasePolicy::Never,
            number => ReleasePolicy::Every(number.parse().map_err(|_| wrong())?),
        }))
    }
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    Bench(BenchArgs),
}

#[derive(Debug, Parser)]
#[command(name = "transcribe", about = ABOUT, max_term_width = 100, allow_negative_numbers = true,
    args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Audio or video files; - reads from standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,

    /// Write files instead of printing text: txt, srt, vtt, tsv, json, several with commas, or all
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

    /// Begin anew what an earlier run was stopped in the midst of; else its finished parts are taken over
    #[arg(long, env = "TRANSCRIBE_NO_RESUME", value_parser = FalseyValueParser::new(), help_heading = OUTPUT)]
    no_resume: bool,

    /// Which model: a size (tiny, base, small, medium, large-v3, large-v3-turbo, tiny.en …, distil-large-v3 …), a
    /// hub repository (owner/name), a folder with a checkpoint, or demo, which is built in. auto takes
    /// large-v3-turbo on a GPU and base on a CPU
    #[arg(long, short, env = "TRANSCRIBE_MODEL", default_value = "auto", help_heading = MODEL)]
    model: String,

    /// Branch, tag or commit of the model's repository [default: main]
    #[arg(long, env = "TRANSCRIBE_REVISION", help_heading = MODEL)]
    revision: Option<String>,

    /// Use only models that are on this machine
    #[arg(long, env = "TRANSCRIBE_OFFLINE", value_parser = FalseyValueParser::new(), help_heading = MODEL)]
    offline: bool,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal
    #[arg(long, env = "TRANSCRIBE_DEVICE", default_value = "auto", help_heading = MODEL)]
    device: DeviceRequest,

    /// Threads on the CPU [default: one per core]
    #[arg(long, env = "TRANSCRIBE_THREADS", value_parser = clap::value_parser!(u16).range(1..), help_heading = MODEL)]
    threads: Option<u16>,

    /// How many half minutes to understand side by side: auto, or a number. More is faster and needs more memory;
    /// the text is the same
    #[arg(long, alias = "batch_size", env = "TRANSCRIBE_BATCH_SIZE", value_name = "N", default_value = "auto",
        help_heading = MODEL)]
    batch_size: Auto,

    /// When to give memory back to the device and the system: every-chunk, a number of chunks, or never
    #[arg(long, env = "TRANSCRIBE_RELEASE", value_name = "WHEN", default_value = "every-chunk", help_heading = MODEL)]
    release: Release,

    /// How many inputs to have open at a time: auto (as many as the batch has places), or a number
    #[arg(long, env = "TRANSCRIBE_JOBS", value_name = "N", default_value = "auto", help_heading = MODEL)]
    jobs: Auto,

    /// The language spoken, by code or name (de, german) [default: found out from the first 30 seconds]
    #[arg(long, short, env = "TRANSCRIBE_LANGUAGE", help_heading = SPEECH)]
    language: Option<String>,

    /// Write what was said, or its English translation
    #[arg(long, env = "TRANSCRIBE_TASK", default_value = "transcribe", value_parser = ["transcribe", "translate"],
        help_heading = SPEECH)]
    task: String,

    /// Names and terms to expect, as text that might have been said before
    #[arg(long, alias = "initial_prompt", env = "TRANSCRIBE_INITIAL_PROMPT", value_name = "TEXT",
        help_heading = SPEECH)]
    initial_prompt: Option<String>,

    /// Whether those are told before each half minute instead of the first only
    #[arg(long, alias = "carry_initial_prompt", env = "TRANSCRIBE_CARRY_INITIAL_PROMPT", value_name = "BOOL",
        default_value = "false", action = ArgAction::Set, value_parser = BoolishValueParser::new(),
        help_heading = SPEECH)]
    carry_initial_prompt: bool,

    /// Which audio track, from 0 [default: the first]
    #[arg(long, env = "TRANSCRIBE_AUDIO_TRACK", value_name = "N", help_heading = AUDIO)]
    audio_track: Option<usize>,

    /// Which channel, from 0 [default: all of them mixed]
    #[arg(long, env = "TRANSCRIBE_CHANNEL", value_name = "N", help_heading = AUDIO)]
    channel: Option<usize>,

    /// Seconds from one pause at which a recording is cut to the next: what lies between is understood side by side.
    /// 0 keeps each recording in one piece, as openai's program hears it
    #[arg(long, alias = "chunk_length", env = "TRANSCRIBE_CHUNK_LENGTH", value_name = "SECONDS",
        default_value_t = 120.0, help_heading = DECODING)]
    chunk_length: f64,

    /// Whether each half minute knows the text before it: more consistent, but errors may repeat
    #[arg(long, alias = "condition_on_previous_text", env = "TRANSCRIBE_CONDITION_ON_PREVIOUS_TEXT",
        value_name = "BOOL", default_value = "true", action = ArgAction::Set,
        value_parser = BoolishValueParser::new(), help_heading = DECODING)]
    condition_on_previous_text: bool,

    /// 0 takes the likeliest word each time; above it words are drawn at random
    #[arg(long, env = "TRANSCRIBE_TEMPERATURE", value_name = "NUMBER", default_value = "0",
        help_heading = DECODING)]
    temperature: f64,

    /// A result that fails the thresholds below is tried again this much hotter, up to 1; none for never
    #[arg(long, alias = "temperature_increment_on_fallback", env = "TRANSCRIBE_TEMPERATURE_INCREMENT_ON_FALLBACK",
        value_name = "NUMBER", default_value = "0.2", help_heading = DECODING)]
    temperature_increment_on_fallback: Threshold,

    /// How many samples to draw and choose from when the temperature is above 0
    #[arg(long, alias = "best_of", env = "TRANSCRIBE_BEST_OF", value_name = "N", default_value_t = 5,
        help_heading = DECODING)]
    best_of: usize,

    /// A text that compresses better than this is too repetitive; none for no limit
    #[arg(long, alias = "compression_ratio_threshold", env = "TRANSCRIBE_COMPRESSION_RATIO_THRESHOLD",
        value_name = "NUMBER", default_value = "2.4", help_heading = DECODING)]
    compression_ratio_threshold: Threshold,

    /// A text less likely than this on average (log probability) is not trusted; none for no limit
    #[arg(long, alias = "logprob_threshold", env = "TRANSCRIBE_LOGPROB_THRESHOLD", value_name = "NUMBER",
        default_value = "-1.0", help_heading = DECODING)]
    logprob_threshold: Threshold,

    /// A text that is not trusted counts as silence above this probability of it; none for never
    #[arg(long, alias = "no_speech_threshold", env = "TRANSCRIBE_NO_SPEECH_THRESHOLD", value_name = "NUMBER",
        default_value = "0.6", help_heading = DECODING)]
    no_speech_threshold: Threshold,

    /// Ids of tokens never to write, separated by commas; -1 stands for symbols that nobody speaks
    #[arg(long, alias = "suppress_tokens", env = "TRANSCRIBE_SUPPRESS_TOKENS", value_name = "IDS",
        default_value = "-1", allow_hyphen_values = true,
        help_heading = DECODING)]
    suppress_tokens: String,

    /// Do not let the model tell times: each segment is half a minute
    #[arg(long, alias = "without_timestamps", env = "TRANSCRIBE_WITHOUT_TIMESTAMPS",
        value_parser = FalseyValueParser::new(), help_heading = DECODING)]
    without_timestamps: bool,

    /// Chooses the random numbers at temperatures above 0
    #[arg(long, env = "TRANSCRIBE_SEED", value_name = "N", default_value_t = 0, help_heading = DECODING)]
    seed: u64,

    /// Tell in the end how fast it was and where the time went
    #[arg(long, env = "TRANSCRIBE_STATS", value_parser = FalseyValueParser::new(), help_heading = GENERAL)]
    stats: bool,

    /// No progress and no notes; errors are still told
    #[arg(long, short, env = "TRANSCRIBE_QUIET", value_parser = FalseyValueParser::new(),
        conflicts_with = "verbose", help_heading = GENERAL)]
    quiet: bool,

    /// Tell more: the device, the model, the language found, second attempts, speed
    #[arg(long, short, env = "TRANSCRIBE_VERBOSE", value_parser = FalseyValueParser::new(),
        help_heading = GENERAL)]
    verbose: bool,
}

impl Args {
    /// What was said on the command line and in the environment.
    pub fn read() -> Result<Self, clap::Error> {
        let matches = Self::described().try_get_matches()?;
        Self::from_arg_matches(&matches)
    }

    fn described() -> clap::Command {
        let version = format!("{} ({})", env!("CARGO_PKG_VERSION"), crate::device::compiled().join(", "));
        let after = format!("{EXAMPLES}\n\n{}", exit::table());
        // One sentence at the end tells about the environment; said at every option it hides the options.
        let command = Self::command().mut_args(|arg| arg.hide_env(true));
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

    pub fn quiet(&self) -> bool {
        self.quiet
    }

    pub fn verbose(&self) -> bool {
        self.verbose
    }

    pub fn stats(&self) -> bool {
        self.stats
    }

    pub fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }

    /// What the library is to do.
    pub fn job(&self) -> Result<Job> {
        let language = self.language.as_deref().map(str::parse::<Language>).transpose()?;
        let formats = self.export.as_deref().map(Format::parse_list).transpose()?.unwrap_or_default();
        if formats.is_empty() && self.output_dir.is_some() {
            return Err(Error::Usage {
                what: "`--output-dir`".into(),
                why: "without `--export` no file is written".into(),
                hint: Some("say which formats, for example `--export srt,txt`".into()),
            });
        }
        let decode = DecodeOptions {
            task: self.task.parse::<Task>()?,
            language,
            temperatures: self.temperatures()?,
            best_of: Some(self.best_of),
            compression_ratio_threshold: self.compression_ratio_threshold.0,
            logprob_threshold: self.logprob_threshold.0,
            no_speech_threshold: self.no_speech_threshold.0,
            condition_on_previous_text: self.condition_on_previous_text,
            initial_prompt: self.initial_prompt.clone(),
            carry_initial_prompt: self.carry_initial_prompt,
            suppress_tokens: self.suppress_tokens.parse::<SuppressTokens>()?,
            without_timestamps: self.without_timestamps,
            seed: self.seed,
            ..DecodeOptions::default()
        };
        decode.check()?;
        Ok(Job {
            inputs: self.inputs.clone(),
            plan: PlanOptions { formats, output_dir: self.output_dir.clone(), overwrite: self.overwrite },
            audio: AudioOptions { track: self.audio_track, channel: self.channel },
            decode,
            model: ModelRequest {
                name: self.model.clone(),
                revision: self.revision.clone(),
                hub: Hub::from_env(self.offline),
            },
            device: self.device,
            chunk_length: chunk_length(self.chunk_length)?,
            batch_size: self.batch_size.0,
            jobs: self.jobs.0,
            release: self.release.0,
            resume: !self.no_resume,
        })
    }

    /// The first temperature and those to fall back to.
    fn temperatures(&self) -> Result<Vec<f64>> {
        let first = self.temperature;
        let Some(step) = self.temperature_increment_on_fallback.0 else { return Ok(vec![first]) };
        // Finer steps than this only waste time, and far finer ones would never end.
        if !(0.01..=1.0).contains(&step) {
            let why = "must lie between 0.01 and 1, or be `none`";
            return Err(Error::usage(format!("`--temperature-increment-on-fallback {step}`"), why));
        }
        // Rounded, lest the third step be 0.6000000000000001.
        let at = |i: u32| ((first + f64::from(i) * step) * 1e6).round() / 1e6;
        let hotter = (1..).map(at).take_while(|t| *t <= 1.0);
        Ok(std::iter::once(first).chain(hotter).collect())
    }
}

/// Refuses lengths that cannot be meant.
pub fn chunk_length(seconds: f64) -> Result<f64> {
    // Much less than a second leaves no pause to cut at, and nobody has a year of audio.
    if seconds == 0.0 || (1.0..=1e7).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::Usage {
        what: format!("`--chunk-length {seconds}`"),
        why: "neither 0 nor a number of seconds from 1 on".into(),
        hint: Some("0 keeps each recording in one piece; 120 is the default".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> Args {
        Args::try_parse_from([&["transcribe", "talk.mp3"], line].concat()).unwrap()
    }

    #[test]
    fn the_defaults_are_openais() {
        let job = args(&[]).job().unwrap();
        assert_eq!(job.decode, DecodeOptions { best_of: Some(5), ..DecodeOptions::default() });
        assert!(job.plan.formats.is_empty());
    }

    #[test]
    fn every_option_has_its_variable_and_a_group() {
        let command = Args::described();
        command.clone().debug_assert();
        let options: Vec<_> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
        assert!(options.len() > 20);
        for option in options {
            let long = option.get_long().unwrap();
            assert!(option.get_help_heading().is_some(), "{long}");
            if !["help", "version"].contains(&long) {
                let variable = format!("TRANSCRIBE_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(option.get_env().and_then(|env| env.to_str()), Some(variable.as_str()));
            }
        }
    }

    #[test]
    fn temperatures_fall_back_in_steps() {
        let temperatures = |line: &[&str]| args(line).job().map(|job| job.decode.temperatures);
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
    fn openais_spelling_is_understood() {
        let job = args(&[
            "--condition_on_previous_text",
            "False",
            "--output_format",
            "srt",
            "--logprob_threshold",
            "None",
        ]);
        let job = job.job().unwrap();
        assert!(!job.decode.condition_on_previous_text);
        assert_eq!(job.decode.logprob_threshold, None);
        assert_eq!(job.plan.formats, [Format::Srt]);
        assert_eq!(
            args(&["--logprob-threshold", "-0.5"]).job().unwrap().decode.logprob_threshold,
            Some(-0.5)
        );
        assert_eq!(
            args(&["--suppress-tokens", "-1,50"]).job().unwrap().decode.suppress_tokens,
            SuppressTokens::List { non_speech: true, ids: vec![50] }
        );
    }
}
