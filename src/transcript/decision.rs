//! How the text of a window was chosen, and which attempts were rejected before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why the text of a window is in the transcript, or is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionRule {
    /// It met the thresholds.
    #[default]
    Passed,
    /// No temperature met them: it is the likeliest of those that are not repetitive, or else of all.
    Likeliest,
    /// No temperature met them: it is that of the last one.
    Last,
    /// The window counts as silence and has no text.
    Silence,
}

/// A threshold that a text failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "fault")]
#[serde(rename_all = "snake_case")]
pub enum RejectionReason {
    /// The text compresses too well.
    CompressionRatio,
    /// The mean log-probability is too low.
    Logprob,
}

/// An attempt that did not meet the thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "rejected")]
pub struct RejectedAttempt {
    pub temperature: f64,
    pub faults: Vec<RejectionReason>,
}

/// The decision on one window, whose segments have the same `seek`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowDecision {
    /// Frame of the input at which the window begins.
    pub seek: usize,
    /// Frames until the next window.
    pub frames: usize,
    pub rule: DecisionRule,
    /// The temperature of the accepted text.
    pub temperature: f64,
    pub rejected: Vec<RejectedAttempt>,
}
