//! WebVTT subtitles.

use crate::export::cues::speakers::shown_name;
use crate::export::cues::{Cue, CueWord};
use crate::export::timestamps::{TimestampStyle, without_blank_lines};
use crate::export::{Preset, Rendering, SpeakerLabels};

const STYLE: TimestampStyle = TimestampStyle { always_hours: false, separator: '.' };
/// Times inside a cue always have hours, so that no player has to guess.
const INNER_STYLE: TimestampStyle = TimestampStyle { always_hours: true, separator: '.' };

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let (cues, options) = (rendering.cues(), rendering.options());
    // openai's writer does not escape what players take for markup.
    let is_openai = cues.preset == Preset::OpenAi;
    let escape = if is_openai { str::to_owned } else { escaped };
    // Players have the name by the voice; only few of them show it.
    let is_named = options.speaker_labels == SpeakerLabels::Always;
    let text = |cue: &Cue| match (options.vtt_words, options.highlight_words) {
        (true, _) if !cue.words.is_empty() => timed_words(cue, escape),
        (_, true) => underlined(&cue.text, escape),
        _ => escape(&cue.text),
    };
    let shown = cues.shown(options.highlight_words);
    // Nor does it remove blank lines.
    let whole = |cue: &Cue| match voiced(cue, is_named, text) {
        whole if is_openai => whole,
        whole => without_blank_lines(&whole).into_owned(),
    };
    let blocks: String = shown.iter().map(|cue| STYLE.cue(cue, &whole(cue))).collect();
    format!("WEBVTT\n\n{blocks}").into_bytes()
}

/// Puts the text of each speaker into a voice, whose name a label may repeat.
fn voiced(cue: &Cue, is_named: bool, text: impl Fn(&Cue) -> String) -> String {
    let voice = |(name, part): &(&str, Cue)| {
        let name = escaped(&shown_name(name));
        let label = if is_named && part.is_labelled { format!("{name}: ") } else { String::new() };
        format!("<v {name}>{label}{}", text(part))
    };
    match cue.parts().as_slice() {
        [] => text(cue),
        // The voice ends with the cue.
        [one] => voice(one),
        more => more.iter().map(|part| voice(part) + "</v>").collect::<Vec<_>>().join("\n"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes a text except for the tags around its underlined word.
fn underlined(text: &str, escape: fn(&str) -> String) -> String {
    let parts = text.split_once("<u>").and_then(|(before, rest)| {
        let (word, after) = rest.rsplit_once("</u>")?;
        Some(format!("{}<u>{}</u>{}", escape(before), escape(word), escape(after)))
    });
    parts.unwrap_or_else(|| escape(text))
}

/// Writes the start of each word into the text. Starts must lie inside the cue and increase; the first needs none.
fn timed_words(cue: &Cue, escape: fn(&str) -> String) -> String {
    let mut last = cue.start;
    let timed = |word: &CueWord| {
        let text = escape(&word.text);
        if word.start <= last || word.start >= cue.end {
            return text;
        }
        last = word.start;
        // A line feed inside the tag still breaks the line.
        format!("<{}><c>{text}</c>", INNER_STYLE.time(word.start))
    };
    cue.words.iter().map(timed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_everything_but_the_tags_of_the_underlined_word() {
        assert_eq!(underlined("a <u>b&c</u> d<", escaped), "a <u>b&amp;c</u> d&lt;");
        assert_eq!(underlined("a > b", escaped), "a &gt; b");
    }
}
