//! SubRip subtitles.

use super::Exporter;
use super::partial::mark;
use super::subtitles::Clock;
use crate::transcript::Transcript;

pub struct Srt;

const CLOCK: Clock = Clock { hours_always: true, marker: ',' };

impl Exporter for Srt {
    fn extension(&self) -> &'static str {
        "srt"
    }

    fn write(&self, transcript: &Transcript) -> Vec<u8> {
        let mark = mark(transcript);
        let cues = transcript.segments.iter().chain(&mark).enumerate();
        cues.map(|(i, segment)| format!("{}\n{}", i + 1, CLOCK.cue(segment))).collect::<String>().into_bytes()
    }
}
