//! The account of a run of several inputs, in a few lines at its end.

use std::collections::BTreeMap;

use super::progress::length;
use super::stats;
use crate::report::{Failure, Tally};
use crate::transcript::Coverage;

/// Inputs that are named for each reason; the others are counted.
const NAMED: usize = 3;

/// What several inputs came to; none of a single one, whose end was told already.
pub fn lines(tally: &Tally) -> Vec<String> {
    let counts = tally.counts();
    if counts.planned < 2 || counts.planned == counts.unfinished {
        return Vec::new();
    }
    let parts = [
        (counts.done, "done"),
        (counts.skipped, "skipped"),
        (counts.failed, "failed"),
        (counts.unfinished, "not finished"),
    ];
    let told = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let mut lines = vec![format!("{} inputs: {}", counts.planned, told.collect::<Vec<_>>().join(", "))];
    lines.extend(reasons(&tally.failures));
    lines.extend(reasons(&tally.missed));
    lines.extend(audio(tally.audio_seconds, tally.seconds(), &tally.coverage));
    lines
}

/// A line for each reason, the most frequent first.
pub fn reasons(failures: &[Failure]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for failure in failures {
        by_reason.entry(failure.reason()).or_default().push(failure.input.as_deref().unwrap_or_default());
    }
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, inputs)| std::cmp::Reverse(inputs.len()));
    by_reason
        .into_iter()
        .map(|(reason, inputs)| format!("  {} {reason}: {}", inputs.len(), named(&inputs)))
        .collect()
}

fn named(inputs: &[&str]) -> String {
    let names: Vec<String> = inputs.iter().take(NAMED).map(|input| format!("`{input}`")).collect();
    match inputs.len().saturating_sub(NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// How much was done, how fast, and what of it has text.
pub fn audio(audio_seconds: f64, seconds: f64, coverage: &Coverage) -> Option<String> {
    let speed = (audio_seconds > 0.0).then(|| audio_seconds / seconds.max(1e-3))?;
    let (audio, seconds) = (length(audio_seconds), length(seconds));
    Some(format!("{audio} of audio in {seconds} ({speed:.1}x): {}", stats::coverage_parts(coverage)))
}
