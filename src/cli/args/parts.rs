//! Options that select parts of a recording: clips and voice activity detection.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{BoolishValueParser, FalseyValueParser};

use crate::chunking::{Clips, Selection, parse_time};
use crate::error::{Error, Result};
use crate::vad::VoiceOptions;

const PARTS: &str = "Parts of a recording";

/// A share from 0 to 1: `95%`, `95` or `0.95`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ShareArg(f64);

impl std::str::FromStr for ShareArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "must be a percentage from 0 to 100 such as `95%`, or a share such as `0.95`".to_owned();
        let percent = text.trim().strip_suffix('%');
        let number: f64 = percent.unwrap_or(text).trim().parse().map_err(|_| wrong())?;
        // Nobody asks for less than one per cent.
        let share = if percent.is_none() && number <= 1.0 { number } else { number / 100.0 };
        if (0.0..=1.0).contains(&share) { Ok(ShareArg(share)) } else { Err(wrong()) }
    }
}

#[derive(Debug, Args)]
pub struct PartArgs {
    /// Process only these clips: start,end,start,end … in seconds or as 0:01:30.5; the last end may be omitted
    #[arg(long, alias = "clip_timestamps", env = "TRANSCRIBE_CLIP_TIMESTAMPS", value_name = "TIMES",
        default_value = "0", conflicts_with_all = ["offset", "duration"], help_heading = PARTS)]
    clip_timestamps: String,

    /// Start at this time: 90, 1:30 or 0:01:30.5. Timestamps stay those of the whole recording
    #[arg(long, env = "TRANSCRIBE_OFFSET", value_name = "TIME", help_heading = PARTS)]
    offset: Option<String>,

    /// Process only this much from there on
    #[arg(long, env = "TRANSCRIBE_DURATION", value_name = "TIME", help_heading = PARTS)]
    duration: Option<String>,

    /// Skip silence: transcribe only where voice activity is detected
    #[arg(long, env = "TRANSCRIBE_VAD", value_parser = FalseyValueParser::new(), help_heading = PARTS)]
    vad: bool,

    /// The spelling of faster-whisper
    #[arg(long, alias = "vad_filter", env = "TRANSCRIBE_VAD_FILTER", value_name = "BOOL", hide = true,
        num_args = 0..=1, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        help_heading = PARTS)]
    vad_filter: Option<bool>,

    /// Speech probability above which audio counts as speech
    #[arg(long, alias = "vad_threshold", env = "TRANSCRIBE_VAD_THRESHOLD", value_name = "NUMBER",
        default_value_t = 0.5, help_heading = PARTS)]
    vad_threshold: f32,

    /// Minimum duration of speech; shorter speech counts as silence
    #[arg(long, alias = "vad_min_speech_duration_ms", env = "TRANSCRIBE_VAD_MIN_SPEECH_DURATION_MS",
        value_name = "MS", default_value_t = 250, help_heading = PARTS)]
    vad_min_speech_duration_ms: u32,

    /// Minimum duration of silence that is skipped; up to five times as long where there is little speech
    #[arg(long, alias = "vad_min_silence_duration_ms", env = "TRANSCRIBE_VAD_MIN_SILENCE_DURATION_MS",
        value_name = "MS", default_value_t = 2000, help_heading = PARTS)]
    vad_min_silence_duration_ms: u32,

    /// Silence kept on both sides of speech
    #[arg(long, alias = "vad_speech_pad_ms", env = "TRANSCRIBE_VAD_SPEECH_PAD_MS", value_name = "MS",
        default_value_t = 400, help_heading = PARTS)]
    vad_speech_pad_ms: u32,

    /// Exit with code 7 if less than this share of an input's speech has text: 95%, 95 or 0.95; its files are written
    /// anyway
    #[arg(long, env = "TRANSCRIBE_FAIL_UNDER_COVERAGE", value_name = "PERCENT", help_heading = PARTS)]
    fail_under_coverage: Option<ShareArg>,

    /// Write the speech regions and what was skipped to this file, one line of JSON per input
    #[arg(long, alias = "vad_report", env = "TRANSCRIBE_VAD_REPORT", value_name = "FILE", help_heading = PARTS)]
    vad_report: Option<PathBuf>,
}

impl PartArgs {
    pub fn selection(&self) -> Result<Selection> {
        Ok(Selection {
            clips: self.clips()?,
            vad: self.voice()?,
            report_speech: self.vad_report.is_some() || self.fail_under_coverage.is_some(),
        })
    }

    /// Returns the share of speech that must have text, from 0 to 1.
    pub fn min_coverage(&self) -> Option<f64> {
        self.fail_under_coverage.map(|share| share.0)
    }

    pub fn vad_report(&self) -> Option<PathBuf> {
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
