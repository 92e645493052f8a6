//! The summary of a run of several inputs: a few lines at its end.

use std::collections::BTreeMap;

use super::progress::clock;
use super::stats;
use crate::report::{Failure, Tally};
use crate::transcript::Coverage;

/// The number of inputs named for each reason; the others are counted.
const MAX_NAMED: usize = 3;

/// Returns the results of several inputs; nothing for a single input, whose end was reported already.
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
    let results = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    let mut lines = vec![format!("{} inputs: {}", counts.planned, results.collect::<Vec<_>>().join(", "))];
    lines.extend(reasons(&tally.failures));
    lines.extend(reasons(&tally.missed));
    lines.extend(audio(tally.audio_seconds, tally.seconds(), &tally.coverage));
    lines
}

/// Returns a line for each reason of failure, the most frequent first.
pub fn reasons(failures: &[Failure]) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for failure in failures {
        by_reason.entry(failure.reason()).or_default().push(failure.input.as_deref().unwrap_or_default());
    }
    // Which one failed first is left to chance.
    by_reason.values_mut().for_each(|inputs| inputs.sort_unstable());
    let mut by_reason: Vec<_> = by_reason.into_iter().collect();
    by_reason.sort_by_key(|(_, inputs)| std::cmp::Reverse(inputs.len()));
    by_reason
        .into_iter()
        .map(|(reason, inputs)| format!("  {} {reason}: {}", inputs.len(), named(&inputs)))
        .collect()
}

fn named(inputs: &[&str]) -> String {
    let names: Vec<String> = inputs.iter().take(MAX_NAMED).map(|input| format!("`{input}`")).collect();
    match inputs.len().saturating_sub(MAX_NAMED) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// Returns how much audio was processed, how fast, and how much of it has text.
pub fn audio(audio_seconds: f64, seconds: f64, coverage: &Coverage) -> Option<String> {
    let speed = (audio_seconds > 0.0).then(|| audio_seconds / seconds.max(1e-3))?;
    let (audio, seconds) = (clock(audio_seconds), clock(seconds));
    Some(format!("{audio} of audio in {seconds} ({speed:.1}x): {}", stats::coverage_parts(coverage)))
}
