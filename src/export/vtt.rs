//! WebVTT subtitles.

use super::Exporter;
use super::partial::mark;
use super::subtitles::Clock;
use crate::transcript::Transcript;

pub struct Vtt;

const CLOCK: Clock = Clock { hours_always: false, marker: '.' };

impl Exporter for Vtt {
    fn extension(&self) -> &'static str {
        "vtt"
    }

    fn write(&self, transcript: &Transcript) -> Vec<u8> {
        let mark = mark(transcript);
        let cues: String =
            transcript.segments.iter().chain(&mark).map(|segment| CLOCK.cue(segment)).collect();
        format!("WEBVTT\n\n{cues}").into_bytes()
    }
}
