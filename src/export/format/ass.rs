//! Advanced SubStation Alpha: styled subtitles, with karaoke timing for highlighted words and a style for each speaker.

use crate::export::cues::Cue;
use crate::export::cues::speakers::shown_name;
use crate::export::{Rendering, SpeakerLabels};

const HEAD: &str = "[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 2
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,64,&H00FFFFFF,&H0000FFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,96,96,60,1
";

const EVENTS: &str = "
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
";

/// The colours of speakers, blue before green before red: those of Okabe and Ito that are bright enough for a picture,
/// which people tell apart whatever colours they see.
const COLOURS: [&str; 6] = ["42E4F0", "E9B456", "009FE6", "A779CC", "739E00", "005ED5"];

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let is_karaoke = |cue: &Cue| rendering.options().highlight_words && !cue.words.is_empty();
    let is_named = rendering.options().speaker_labels == SpeakerLabels::Always;
    let cues = &rendering.cues().list;
    let styles = Styles::of(cues);
    let line = |cue: &Cue| {
        let text = |cue: &Cue| if is_karaoke(cue) { karaoke(cue) } else { escaped(&cue.text) };
        let (start, end) = (time(cue.start), time(cue.end));
        let parts = cue.parts();
        let Some((first, _)) = parts.first() else {
            return format!("Dialogue: 0,{start},{end},Default,,0,0,0,,{}\n", text(cue));
        };
        let names: Vec<String> = parts.iter().map(|(name, _)| field(name)).collect();
        let label = |name: &str| if is_named { escaped(&shown_name(name)) + ": " } else { String::new() };
        let text = match parts.as_slice() {
            [(name, part)] => label(name) + &text(part),
            // Each line is in the style of its speaker.
            parts => {
                let styled =
                    |(name, part): &(&str, Cue)| format!("{{\\r{}}}{}", styles.name(name), text(part));
                parts.iter().map(styled).collect::<Vec<_>>().join("\\N")
            }
        };
        format!("Dialogue: 0,{start},{end},{},{},0,0,0,,{text}\n", styles.name(first), names.join(" / "))
    };
    let lines: String = cues.iter().map(line).collect();
    format!("{HEAD}{}{EVENTS}{lines}", styles.definitions()).into_bytes()
}

/// The styles of the speakers, in the order in which they are first shown.
struct Styles<'c> {
    speakers: Vec<&'c str>,
}

impl<'c> Styles<'c> {
    fn of(cues: &'c [Cue]) -> Self {
        let mut speakers: Vec<&str> = Vec::new();
        for name in cues.iter().flat_map(|cue| &cue.speakers) {
            if !speakers.contains(&name.as_str()) {
                speakers.push(name);
            }
        }
        Self { speakers }
    }

    /// Returns the name of a speaker's style, which no other speaker and no command has.
    fn name(&self, speaker: &str) -> String {
        let at = self.speakers.iter().position(|known| *known == speaker).unwrap_or_default();
        let plain = field(speaker).replace(['{', '}', '\\', '*', '/'], " ");
        let name = plain.trim();
        let is_taken =
            self.speakers[..at].iter().any(|other| field(other).eq_ignore_ascii_case(&field(speaker)));
        let is_plain = plain == speaker && !name.ends_with(')') && !name.eq_ignore_ascii_case("default");
        if is_plain && !is_taken { name.to_owned() } else { format!("{name} ({})", at + 1) }
    }

    fn definitions(&self) -> String {
        let style = |(at, speaker): (usize, &&str)| {
            let (name, colour) = (self.name(speaker), COLOURS[at % COLOURS.len()]);
            format!(
                "Style: {name},Arial,64,&H00{colour},&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,96,96,60,1\n"
            )
        };
        self.speakers.iter().enumerate().map(style).collect()
    }
}

/// Returns a name for a field, which ends at a comma.
fn field(name: &str) -> String {
    shown_name(name).replace(',', " ")
}

fn centiseconds(milliseconds: i64) -> i64 {
    (milliseconds + 5) / 10
}

fn time(milliseconds: i64) -> String {
    let all = centiseconds(milliseconds);
    format!("{}:{:02}:{:02}.{:02}", all / 360_000, all / 6_000 % 60, all / 100 % 60, all % 100)
}

/// Escapes line feeds and braces, which enclose commands.
fn escaped(text: &str) -> String {
    // A backslash would start a command; the word joiner after it has no width.
    let text = text.replace('\\', "\\\u{2060}").replace('{', "\\{").replace('}', "\\}");
    text.replace("\r\n", "\n").replace(['\n', '\r'], "\\N")
}

/// Writes before each word the time from its start to the start of the next; silence before the first word gets a time
/// of its own.
fn karaoke(cue: &Cue) -> String {
    let cue_start = centiseconds(cue.start);
    let mut starts: Vec<i64> = cue.words.iter().map(|word| centiseconds(word.start)).collect();
    starts.push(cue.words.last().map_or(cue_start, |word| centiseconds(word.end)));
    let silence = starts[0] - cue_start;
    let mut out = if silence > 0 { format!("{{\\k{silence}}}") } else { String::new() };
    for (word, pair) in cue.words.iter().zip(starts.windows(2)) {
        // The line break comes before the command of the word.
        let (line_break, text) = match word.text.strip_prefix('\n') {
            Some(text) => ("\\N", text),
            None => ("", word.text.as_str()),
        };
        let duration = (pair[1] - pair[0]).max(0);
        out.push_str(&format!("{line_break}{{\\k{duration}}}{}", escaped(text)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_speaker_has_a_style_of_another_name() {
        let cue = |name: &str| Cue { speakers: vec![name.into()], ..Cue::plain(0, 1, "x") };
        let names = ["Anna", "A,b", "A b", "default", "{\\i1}", "anna", "Zoë", "*", "A b (2)"];
        let cues = names.map(cue);
        let styles = Styles::of(&cues);
        let mut made: Vec<String> = names.iter().map(|name| styles.name(name).to_lowercase()).collect();
        assert_eq!((made[0].as_str(), made[6].as_str()), ("anna", "zoë"));
        assert!(made.iter().all(|name| !name.contains([',', '{', '}', '\\', '*'])), "{made:?}");
        made.sort();
        made.dedup();
        assert!(made.len() == names.len() && !made.contains(&"default".to_owned()), "{made:?}");
        assert_eq!(styles.definitions().lines().count(), names.len());
    }
}
