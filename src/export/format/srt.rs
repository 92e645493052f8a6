//! SubRip subtitles.

use crate::export::Rendering;
use crate::export::timestamps::TimestampStyle;

const STYLE: TimestampStyle = TimestampStyle { always_hours: true, separator: ',' };

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let cues = rendering.cues().shown(rendering.options().highlight_words);
    let numbered = cues.iter().enumerate();
    let blocks = numbered.map(|(i, cue)| format!("{}\n{}", i + 1, STYLE.cue(cue, &cue.labelled_text())));
    blocks.collect::<String>().into_bytes()
}
