//! All segments of one input, where they came from and how much of the input they cover. Pure data: knows no
//! network, no format and no file.

pub mod decision;
mod quality;
pub mod segment;
mod waveform;

pub use decision::{DecisionRule, RejectedAttempt, RejectionReason, WindowDecision};
pub use quality::{Coverage, Fallback, Quality, Span, confidence, mean_confidence};
pub use segment::{Segment, Word};
pub use waveform::{Seam, Waveform};

/// What became of one input.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    /// The input as the person named it.
    pub source: String,
    /// Seconds of audio in it.
    pub duration: f64,
    pub model: ModelIdentity,
    /// Code of the language spoken, as given or detected.
    pub language: String,
    /// How likely it was when it was found out; none if it was said.
    pub language_probability: Option<f64>,
    /// How likely each one was then, by code, the likeliest first.
    pub languages: Vec<(String, f64)>,
    /// Everything said. Not always the segments' texts put together: those without length or text are emptied.
    pub text: String,
    /// In the order of their windows; a later window's may start before an earlier one's last ended.
    pub segments: Vec<Segment>,
    /// What became of each window, in their order.
    pub decisions: Vec<WindowDecision>,
    /// What was not listened to, in the order of time.
    pub skipped: Vec<Skipped>,
    /// Where somebody speaks, in seconds; none if nobody listened for it.
    pub speech: Option<Vec<(f64, f64)>>,
    /// What an earlier run found, if this was read from its results.
    pub quality: Option<Quality>,
    pub damage: Damage,
    /// How it looks, if that is to be drawn.
    pub waveform: Option<Waveform>,
    /// Where it was cut, in the order of time, as far as that is known.
    pub seams: Vec<Seam>,
    /// The work was stopped: what comes after `duration` is missing.
    pub is_partial: bool,
}

/// Seconds of the input that no model was asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skipped {
    pub start: f64,
    pub end: f64,
    pub why: SkipReason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// It lies outside of the clips that were asked for.
    NotAskedFor,
    /// Nobody speaks.
    Silence,
}

impl SkipReason {
    /// As reports say it.
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

/// Which weights were asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelIdentity {
    /// As the person named it.
    pub name: String,
    /// What tells this version from another of the same name, where something does.
    pub revision: Option<String>,
}

/// What of the input could not be heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Damage {
    /// Packets that could not be decoded and were left out.
    pub packets: u64,
    /// The input ended before it said it would.
    pub truncated: bool,
}

impl Damage {
    pub fn any(&self) -> bool {
        self.packets > 0 || self.truncated
    }
}

impl Transcript {
    /// Seconds that lie in the clips that were asked for.
    pub fn seconds_asked_for(&self) -> f64 {
        (self.duration - self.skipped_seconds(SkipReason::NotAskedFor)).max(0.0)
    }

    /// Seconds left out for this reason.
    pub fn skipped_seconds(&self, why: SkipReason) -> f64 {
        let spans = self.skipped.iter().filter(|span| span.why == why);
        spans.fold(0.0, |sum, span| sum + span.end - span.start)
    }
}
