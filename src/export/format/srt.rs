//! SubRip subtitles.

use crate::export::cues::Cue;
use crate::export::timestamps::{TimestampStyle, without_blank_lines};
use crate::export::{Preset, Rendering};

const STYLE: TimestampStyle = TimestampStyle { always_hours: true, separator: ',' };

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    // openai's writer leaves blank lines where they are.
    let is_openai = rendering.cues().preset == Preset::OpenAi;
    let text = |cue: &Cue| match cue.labelled_text() {
        text if is_openai => text.into_owned(),
        text => without_blank_lines(&text).into_owned(),
    };
    let cues = rendering.cues().shown(rendering.options().highlight_words);
    let numbered = cues.iter().enumerate();
    let blocks = numbered.map(|(i, cue)| format!("{}\n{}", i + 1, STYLE.cue(cue, &text(cue))));
    blocks.collect::<String>().into_bytes()
}
