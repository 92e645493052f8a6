//! What became of a window and why: by which rule its text was taken, and what was tried before.

use serde::{Deserialize, Serialize};

/// Why the text of a window stands in the transcript, or does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionRule {
    /// It met the thresholds.
    #[default]
    Passed,
    /// No temperature met them: the likeliest of those that are not repetitive, or else of all.
    Likeliest,
    /// No temperature met them: the last one.
    Last,
    /// It counts as silence; there is no text.
    Silence,
}

/// A threshold that a text failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionReason {
    /// It compresses too well.
    CompressionRatio,
    /// The model holds it for too unlikely.
    Logprob,
}

/// An attempt that did not meet the thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectedAttempt {
    pub temperature: f64,
    pub faults: Vec<RejectionReason>,
}

/// See the module. The segments of the window have its `seek`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowDecision {
    /// Frame of the recording at which the window begins.
    pub seek: usize,
    /// Frames until the next window.
    pub frames: usize,
    pub rule: DecisionRule,
    /// Of the text that was taken.
    pub temperature: f64,
    pub rejected: Vec<RejectedAttempt>,
}
