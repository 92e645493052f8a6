//! Recordings whose channels are speakers: each channel is read on its own, with what it hears of the others muted.

use std::ops::Range;

use crate::audio::{AudioInput, AudioOptions};
use crate::cancel::CancelToken;
use crate::chunking::SplitReport;
use crate::error::Result;
use crate::speakers::cross_talk::{ChannelLevels, CrossTalkGate};

/// One reading of a recording.
pub struct ChannelPass {
    pub audio: AudioOptions,
    pub gate: Option<CrossTalkGate>,
    pub is_speaker: bool,
}

/// Returns a pass for each channel. Reads the whole recording once for each, to compare their levels.
pub fn passes(audio: &AudioInput, options: &AudioOptions, cancel: &CancelToken) -> Result<Vec<ChannelPass>> {
    let of_channel = |channel| AudioOptions { channel: Some(channel), ..options.clone() };
    let count = audio.channels(options)?;
    if count < 2 {
        return Ok(vec![ChannelPass { audio: of_channel(0), gate: None, is_speaker: true }]);
    }
    let mut levels = Vec::new();
    for channel in 0..count {
        let mut reader = audio.open(&of_channel(channel))?;
        let mut of_this = ChannelLevels::default();
        while let Some(block) = reader.next_block()? {
            cancel.check()?;
            of_this.push(block);
        }
        levels.push(of_this);
    }
    let pass = |channel| ChannelPass {
        audio: of_channel(channel),
        gate: Some(CrossTalkGate::new(&levels, channel)),
        is_speaker: true,
    };
    Ok((0..count).map(pass).collect())
}

/// Joins what two channels were found to hold: speech in either, and nothing where neither was transcribed.
pub fn join_reports(a: SplitReport, b: SplitReport) -> SplitReport {
    let mut speech = [a.speech, b.speech].concat();
    speech.sort_by_key(|region| region.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for region in speech {
        match joined.last_mut() {
            Some(last) if region.start <= last.end => last.end = last.end.max(region.end),
            _ => joined.push(region),
        }
    }
    let mut skipped = Vec::new();
    for (one, cause) in &a.skipped {
        for (other, _) in &b.skipped {
            let both = one.start.max(other.start)..one.end.min(other.end);
            if both.start < both.end {
                skipped.push((both, *cause));
            }
        }
    }
    SplitReport {
        speech: joined,
        speech_detected: a.speech_detected && b.speech_detected,
        skipped,
        missed_clips: a.missed_clips,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunking::SkipCause;

    #[test]
    fn reports_of_channels_are_joined() {
        let report = |speech: &[Range<u64>], skipped: &[Range<u64>]| SplitReport {
            speech: speech.to_vec(),
            speech_detected: true,
            skipped: skipped.iter().map(|range| (range.clone(), SkipCause::Silence)).collect(),
            missed_clips: Vec::new(),
        };
        let joined = join_reports(
            report(&[0..10, 30..40], &[10..30, 40..100]),
            report(&[5..20, 60..70], &[0..5, 20..60, 70..100]),
        );
        assert_eq!(joined, report(&[0..20, 30..40, 60..70], &[20..30, 40..60, 70..100]));
    }
}
