//! Transcripts: everything known about one input. Pure data, without knowledge of networks, formats or files.

pub mod decision;
mod quality;
pub mod segment;
mod speakers;
mod waveform;

pub use decision::{DecisionRule, RejectedAttempt, RejectionReason, WindowDecision};
pub use quality::{Coverage, Fallback, Quality, TranscriptSpan, confidence, mean_confidence};
pub use segment::{Segment, Word};
pub use speakers::{Speaker, SpeakerTurns, Turn};
pub use waveform::{Seam, Waveform};

use schemars::JsonSchema;
use serde::Serialize;

/// Everything known about one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The input as it was named on the command line.
    pub source: String,
    /// Seconds of audio in it.
    pub duration: f64,
    pub model: ModelIdentity,
    /// Code of the language spoken, as given or detected.
    pub language: String,
    /// Its probability when it was detected; none if it was requested.
    pub language_probability: Option<f64>,
    /// The probability of each language when it was detected, by code, the likeliest first.
    pub languages: Vec<(String, f64)>,
    /// The whole text. May differ from the segments' texts together, as segments without length or text are emptied.
    pub text: String,
    /// In the order of their windows; a later window's first segment may start before an earlier one's last ended.
    pub segments: Vec<Segment>,
    /// Who speaks when, if speakers were told apart; then segments and words name theirs.
    pub speakers: Option<SpeakerTurns>,
    /// How the text of each window was chosen, in their order.
    pub decisions: Vec<WindowDecision>,
    /// What was left out, in the order of time.
    pub skipped: Vec<Skipped>,
    /// Speech regions in seconds; none without voice activity detection.
    pub speech: Option<Vec<(f64, f64)>>,
    /// The quality that an earlier run measured, if this was read from its results.
    pub quality: Option<Quality>,
    pub damage: Damage,
    /// Only if a page draws it.
    pub waveform: Option<Waveform>,
    /// Where it was cut, in the order of time, if known.
    pub seams: Vec<Seam>,
    /// Whether the run was stopped: everything after `duration` is missing.
    pub is_partial: bool,
}

/// A part of the input that was left out, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skipped {
    pub start: f64,
    pub end: f64,
    pub why: SkipReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It lies outside the requested clips.
    NotAskedFor,
    /// No speech was detected.
    Silence,
}

impl SkipReason {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            SkipReason::NotAskedFor => "not asked for",
            SkipReason::Silence => "silence",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [SkipReason::NotAskedFor, SkipReason::Silence].into_iter().find(|why| why.name() == name)
    }
}

/// The model that made a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[schemars(rename = "model")]
pub struct ModelIdentity {
    /// As it was named on the command line.
    pub name: String,
    /// What tells this version from others of the same name, if known.
    pub revision: Option<String>,
}

/// What could not be decoded of the input's audio.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Packets that could not be decoded, and were left out.
    pub packets: u64,
    /// Whether the input ended before the length that it claims.
    pub truncated: bool,
}

impl Damage {
    pub fn any(&self) -> bool {
        self.packets > 0 || self.truncated
    }
}

impl Transcript {
    /// Returns the seconds inside the requested clips.
    pub fn seconds_asked_for(&self) -> f64 {
        (self.duration - self.skipped_seconds(SkipReason::NotAskedFor)).max(0.0)
    }

    /// Returns the seconds left out for this reason.
    pub fn skipped_seconds(&self, why: SkipReason) -> f64 {
        let spans = self.skipped.iter().filter(|span| span.why == why);
        spans.fold(0.0, |sum, span| sum + span.end - span.start)
    }
}
