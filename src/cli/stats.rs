//! Statistics about memory, quality and speed as text.

use crate::device::memory::MemoryUsage;
use crate::engine::Footprint;
use crate::report::Tally;
use crate::transcript::{Coverage, DecisionRule, Quality};

/// Describes the memory in use after a chunk.
pub fn footprint(footprint: &Footprint) -> String {
    let usage = |usage: &MemoryUsage| {
        format!("{:.0} MB (peak {:.0})", megabytes(usage.current), megabytes(usage.peak))
    };
    let mut text = format!("memory {}", usage(&footprint.memory.host));
    if let Some(device) = &footprint.memory.device {
        text += &format!(", device {}", usage(device));
    }
    if let Some(released) = footprint.released {
        text += &format!(", released {:.1} MB", megabytes(released.host + released.device));
    }
    text
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Describes the quality of a transcript.
pub fn quality(quality: &Quality) -> String {
    let mut parts = vec![coverage_parts(&quality.coverage)];
    parts.extend(quality.confidence.map(|confidence| format!("confidence {confidence:.2}")));
    let lists = [
        (quality.low_confidence.len(), "of low confidence"),
        (quality.repetitions.len(), "with repetitions"),
        (quality.without_voice.len(), "of text without speech"),
    ];
    let found = lists.iter().filter(|(count, _)| *count > 0);
    parts.extend(found.map(|(count, what)| match count {
        1 => format!("1 span {what}"),
        count => format!("{count} spans {what}"),
    }));
    let failed = quality.fallbacks.iter().filter(|fallback| fallback.rule != DecisionRule::Passed).count();
    if failed > 0 {
        parts.push(format!("{failed} windows that failed at every temperature"));
    }
    parts.join(", ")
}

fn coverage(coverage: &Coverage) -> String {
    format!("coverage         {}", coverage_parts(coverage))
}

/// Lists how many seconds were transcribed, silent or skipped.
pub fn coverage_parts(coverage: &Coverage) -> String {
    let lists = [
        (coverage.transcribed, "transcribed"),
        (coverage.dropped, "of speech without text"),
        (coverage.silent, "silent"),
        (coverage.skipped, "skipped as silence"),
        (coverage.not_asked_for, "outside the clips"),
    ];
    let found = lists.iter().filter(|(seconds, _)| *seconds >= 0.05);
    let parts: Vec<String> = found.map(|(seconds, what)| format!("{seconds:.1} s {what}")).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(", ") }
}

/// Returns the statistics of a whole run, one line per figure.
pub fn table(tally: &Tally) -> Vec<String> {
    let Some(stats) = tally.stats else { return vec!["nothing was computed".into()] };
    let seconds = tally.seconds().max(1e-3);
    let share = |part: f64| format!("{part:.2} s ({:.0} %)", part / seconds * 100.0);
    let rows = stats.rows as f64 / stats.steps.max(1) as f64;
    vec![
        format!(
            "audio            {:.1} s in {seconds:.2} s: {:.1} times real time",
            tally.audio_seconds,
            tally.audio_seconds / seconds
        ),
        coverage(&tally.coverage),
        format!("tokens           {}: {:.0} per second", stats.tokens, stats.tokens as f64 / seconds),
        format!("windows          {}, {} retries", stats.windows, stats.fallbacks),
        format!("encoder          {}", share(stats.encoding)),
        format!("decoder          {}, {} steps of {rows:.1} rows", share(stats.decoding), stats.steps),
        format!("word timestamps  {}, {} windows", share(stats.aligning), stats.aligned),
        format!("slot occupancy   {:.1} %", stats.occupancy() * 100.0),
        format!("waited for audio {}", share(stats.starved)),
        format!(
            "memory           peak {:.0} MB on the host, {:.0} MB on the device",
            megabytes(tally.peak_host),
            megabytes(tally.peak_device.unwrap_or_default())
        ),
        format!(
            "released         {:.0} MB after {} chunks, in {}",
            megabytes(stats.released_host + stats.released_device),
            stats.chunks,
            share(stats.releasing)
        ),
    ]
}
