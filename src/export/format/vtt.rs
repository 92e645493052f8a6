//! WebVTT subtitles.

use crate::export::Exporter;
use crate::export::cues::{Cue, cues};
use crate::export::options::{Preset, Shape};
use crate::export::timestamps::Clock;
use crate::transcript::Transcript;

pub struct Vtt;

const CLOCK: Clock = Clock { hours_always: false, marker: '.' };
/// Times inside a cue, so that no player has to guess.
const INNER_CLOCK: Clock = Clock { hours_always: true, marker: '.' };

impl Exporter for Vtt {
    fn extension(&self) -> &'static str {
        "vtt"
    }

    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8> {
        let cues = cues(transcript, shape);
        // openai's writer leaves alone what players take for markup.
        let spell = if cues.preset == Preset::Readable { escaped } else { str::to_owned };
        let cues = if shape.highlight_words { cues.highlighted() } else { cues };
        let text = |cue: &Cue| match (shape.vtt_words, shape.highlight_words) {
            (true, _) if !cue.words.is_empty() => timed_words(cue, spell),
            (_, true) => marked(&cue.text, spell),
            _ => spell(&cue.text),
        };
        let cues: String = cues.list.iter().map(|cue| CLOCK.cue(cue, &text(cue))).collect();
        format!("WEBVTT\n\n{cues}").into_bytes()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The text with its one underlined word, whose marks are no text.
fn marked(text: &str, spell: fn(&str) -> String) -> String {
    let parts = text.split_once("<u>").and_then(|(before, rest)| {
        let (word, behind) = rest.rsplit_once("</u>")?;
        Some(format!("{}<u>{}</u>{}", spell(before), spell(word), spell(behind)))
    });
    parts.unwrap_or_else(|| spell(text))
}

/// The words with their beginnings, which must lie inside the cue and increase; the first needs none.
fn timed_words(cue: &Cue, spell: fn(&str) -> String) -> String {
    let mut last = cue.start;
    let word = |word: &crate::export::CueWord| {
        let text = spell(&word.text);
        if word.start <= last || word.start >= cue.end {
            return text;
        }
        last = word.start;
        // A line feed inside the mark is one all the same.
        format!("<{}><c>{text}</c>", INNER_CLOCK.time(word.start))
    };
    cue.words.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mark_stays_a_mark() {
        assert_eq!(marked("a <u>b&c</u> d<", escaped), "a <u>b&amp;c</u> d&lt;");
        assert_eq!(marked("a > b", escaped), "a &gt; b");
    }
}
