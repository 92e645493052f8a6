//! The options of every command that transcribes.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::GENERAL;
use super::decoding::DecodingArgs;
use super::memory::MemoryArgs;
use super::model::ModelArgs;
use super::output::OutputArgs;
use super::parts::PartArgs;
use super::reporting::ReportingArgs;
use super::speakers::SpeakerArgs;
use super::speech::SpeechArgs;
use super::subtitles::{self, SubtitleArgs};
use super::words::WordArgs;
use crate::decode::{DecodeOptions, WordTimes};
use crate::error::{Error, Result};
use crate::export::{Format, Preset};
use crate::models::ModelOptions;
use crate::plan::{InputOptions, InputSettings, PlanRequest};
use crate::run::{RunRequest, TextEvents};

#[derive(Debug, Args)]
pub struct TranscribeArgs {
    #[command(flatten)]
    output: OutputArgs,

    #[command(flatten)]
    subtitles: SubtitleArgs,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    memory: MemoryArgs,

    #[command(flatten)]
    speech: SpeechArgs,

    #[command(flatten)]
    speakers: SpeakerArgs,

    #[command(flatten)]
    parts: PartArgs,

    #[command(flatten)]
    decoding: DecodingArgs,

    #[command(flatten)]
    words: WordArgs,

    #[command(flatten)]
    pub reporting: ReportingArgs,

    /// Print speed and timing statistics at the end
    #[arg(long, env = "TRANSCRIBE_STATS", value_parser = FalseyValueParser::new(), help_heading = GENERAL)]
    pub stats: bool,

    /// Print only warnings and errors
    #[arg(long, short, env = "TRANSCRIBE_QUIET", value_parser = FalseyValueParser::new(),
        conflicts_with = "verbose", help_heading = GENERAL)]
    pub quiet: bool,

    /// Print details: device, model, detected language, retries and speed
    #[arg(long, short, env = "TRANSCRIBE_VERBOSE", value_parser = FalseyValueParser::new(),
        help_heading = GENERAL)]
    pub verbose: bool,
}

impl TranscribeArgs {
    /// Returns whether text is printed with its times, if that was said.
    pub fn timestamps(&self) -> Option<bool> {
        self.output.timestamps
    }

    pub fn threads(&self) -> Option<usize> {
        self.model.threads.map(usize::from)
    }

    /// Builds the request to transcribe these inputs. `may_lack_words` ignores options of subtitles that need word times
    /// where there are none.
    pub fn request(
        &self,
        inputs: Vec<PathBuf>,
        discovery: InputOptions,
        may_lack_words: bool,
    ) -> Result<RunRequest> {
        let outputs = self.output.output_options(discovery.manifests.is_empty())?;
        let speakers = self.speakers.options()?;
        let is_all = outputs.formats.len() == Format::ALL.len();
        let needing =
            outputs.formats.iter().find(|format| format.needs_speakers() && speakers.is_none() && !is_all);
        if let Some(format) = needing {
            return Err(Error::Usage {
                what: format!("`--export {format}`"),
                why: "says who speaks, and nobody is told apart".into(),
                hint: Some("add `--speakers auto`".into()),
            });
        }
        let mut decode = DecodeOptions::default();
        self.speech.apply_to(&mut decode)?;
        self.decoding.apply_to(&mut decode)?;
        self.words.apply_to(&mut decode);
        decode.check()?;
        let export = self.subtitles.export_options()?;
        let mut settings = InputSettings {
            model: self.model.request(),
            audio: self.speech.audio(),
            decode,
            selection: self.parts.selection()?,
            chunk_length: self.speech.chunk_length()?,
            speakers,
            chooses_words: self.words.leaves_words_to_formats() && export.preset != Some(Preset::OpenAi),
        };
        settings.time_words_for(&outputs.formats);
        // Who says a word follows from its time, whatever the formats.
        if settings.speakers.is_some() && settings.chooses_words {
            settings.decode.word_times = WordTimes::Aligned;
            settings.chooses_words = false;
        }
        // Lines of a manifest may have formats of their own, and with them words.
        let may_have_words = settings.chooses_words && !discovery.manifests.is_empty();
        let has_words = may_have_words || settings.decode.word_times.any();
        let export = subtitles::for_words(export, has_words, may_lack_words)?;
        let plan = PlanRequest {
            inputs,
            discovery,
            shard: None,
            outputs,
            export,
            settings: Arc::new(settings),
            device: self.model.device.first,
            beside: self.model.device.additional.clone(),
            models: ModelOptions {
                policy: self.memory.policy(),
                batch_size: self.model.batch_size.0,
                release: self.model.release.0,
                precision: self.model.dtype,
                max_memory: self.memory.max_memory(),
            },
            resume: !self.output.no_resume,
        };
        Ok(RunRequest {
            plan,
            guard: self.memory.guard(),
            jobs: self.model.jobs.0,
            vad_report: self.parts.vad_report(),
            min_coverage: self.parts.min_coverage(),
            text: TextEvents::default(),
            moves: None,
        })
    }
}
