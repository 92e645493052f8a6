//! Which part of a recording is heard: clips, and where somebody speaks.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{BoolishValueParser, FalseyValueParser};

use crate::chunking::{Clips, Selection, parse_time};
use crate::error::{Error, Result};
use crate::vad::VoiceOptions;

const PARTS: &str = "Parts of a recording";

#[derive(Debug, Args)]
pub struct VoiceArgs {
    /// Only these parts: begin,end,begin,end … as seconds or as 0:01:30.5; without a last end, to the end
    #[arg(long, alias = "clip_timestamps", env = "TRANSCRIBE_CLIP_TIMESTAMPS", value_name = "TIMES",
        default_value = "0", conflicts_with_all = ["offset", "duration"], help_heading = PARTS)]
    clip_timestamps: String,

    /// Begin here: 90, 1:30 or 0:01:30.5. Times stay those of the whole recording
    #[arg(long, env = "TRANSCRIBE_OFFSET", value_name = "TIME", help_heading = PARTS)]
    offset: Option<String>,

    /// No more than this from there on
    #[arg(long, env = "TRANSCRIBE_DURATION", value_name = "TIME", help_heading = PARTS)]
    duration: Option<String>,

    /// Leave out silence: only where somebody speaks is the model asked
    #[arg(long, env = "TRANSCRIBE_VAD", value_parser = FalseyValueParser::new(), help_heading = PARTS)]
    vad: bool,

    /// The same in faster-whisper's words
    #[arg(long, alias = "vad_filter", env = "TRANSCRIBE_VAD_FILTER", value_name = "BOOL", hide = true,
        num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        help_heading = PARTS)]
    vad_filter: Option<bool>,

    /// From this probability on, 0 to 1, somebody speaks
    #[arg(long, alias = "vad_threshold", env = "TRANSCRIBE_VAD_THRESHOLD", value_name = "NUMBER",
        default_value_t = 0.5, help_heading = PARTS)]
    vad_threshold: f32,

    /// Shorter speech counts as silence, in milliseconds
    #[arg(long, alias = "vad_min_speech_duration_ms", env = "TRANSCRIBE_VAD_MIN_SPEECH_DURATION_MS",
        value_name = "MS", default_value_t = 250, help_heading = PARTS)]
    vad_min_speech_duration_ms: u32,

    /// Shorter silence is kept, in milliseconds; where little is said, up to five times as long
    #[arg(long, alias = "vad_min_silence_duration_ms", env = "TRANSCRIBE_VAD_MIN_SILENCE_DURATION_MS",
        value_name = "MS", default_value_t = 2000, help_heading = PARTS)]
    vad_min_silence_duration_ms: u32,

    /// Silence kept on either side of speech, in milliseconds
    #[arg(long, alias = "vad_speech_pad_ms", env = "TRANSCRIBE_VAD_SPEECH_PAD_MS", value_name = "MS",
        default_value_t = 400, help_heading = PARTS)]
    vad_speech_pad_ms: u32,

    /// End with exit code 7 if of the speech of any input less than this has text, in percent; its files are written
    /// all the same
    #[arg(long, env = "TRANSCRIBE_FAIL_UNDER_COVERAGE", value_name = "PERCENT", help_heading = PARTS)]
    fail_under_coverage: Option<f64>,

    /// Tell in this file where somebody speaks and what was left out, a line of JSON per input
    #[arg(long, alias = "vad_report", env = "TRANSCRIBE_VAD_REPORT", value_name = "FILE", help_heading = PARTS)]
    vad_report: Option<PathBuf>,
}

impl VoiceArgs {
    pub fn selection(&self) -> Result<Selection> {
        Ok(Selection {
            clips: self.clips()?,
            vad: self.voice()?,
            report_speech: self.vad_report.is_some() || self.fail_under_coverage.is_some(),
        })
    }

    /// From 0 to 1.
    pub fn least_coverage(&self) -> Result<Option<f64>> {
        match self.fail_under_coverage {
            Some(percent) if !(0.0..=100.0).contains(&percent) => {
                let what = format!("`--fail-under-coverage {percent}`");
                Err(Error::usage(what, "must lie between 0 and 100"))
            }
            percent => Ok(percent.map(|percent| percent / 100.0)),
        }
    }

    pub fn report(&self) -> Option<PathBuf> {
        self.vad_report.clone()
    }

    fn clips(&self) -> Result<Clips> {
        let time = |text: &Option<String>| text.as_deref().map(parse_time).transpose();
        match (time(&self.offset)?, time(&self.duration)?) {
            (None, None) => self.clip_timestamps.parse(),
            (offset, None) => Clips::from_seconds(&[offset.unwrap_or(0.0)]),
            (offset, Some(duration)) => {
                let offset = offset.unwrap_or(0.0);
                Clips::from_seconds(&[offset, offset + duration])
            }
        }
    }

    fn voice(&self) -> Result<Option<VoiceOptions>> {
        let threshold = self.vad_threshold;
        if !(threshold > 0.0 && threshold < 1.0) {
            let what = format!("`--vad-threshold {threshold}`");
            return Err(Error::usage(what, "must lie between 0 and 1"));
        }
        let frames = |ms: u32| u64::from(ms / 10);
        let options = VoiceOptions {
            threshold,
            min_speech: frames(self.vad_min_speech_duration_ms),
            min_silence: frames(self.vad_min_silence_duration_ms),
            pad: frames(self.vad_speech_pad_ms),
        };
        Ok(self.vad_filter.unwrap_or(self.vad).then_some(options))
    }
}
