//! SubRip subtitles.

use crate::export::Exporter;
use crate::export::cues::cues;
use crate::export::options::Shape;
use crate::export::timestamps::Clock;
use crate::transcript::Transcript;

pub struct Srt;

const CLOCK: Clock = Clock { hours_always: true, marker: ',' };

impl Exporter for Srt {
    fn extension(&self) -> &'static str {
        "srt"
    }

    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8> {
        let cues = cues(transcript, shape);
        let cues = if shape.highlight_words { cues.highlighted() } else { cues };
        let numbered = cues.list.iter().enumerate();
        numbered
            .map(|(i, cue)| format!("{}\n{}", i + 1, CLOCK.cue(cue, &cue.text)))
            .collect::<String>()
            .into()
    }
}
