//! Advanced SubStation Alpha: styled subtitles, with karaoke timing for highlighted words.

use crate::export::Rendering;
use crate::export::cues::Cue;

const HEAD: &str = "[Script Info]
ScriptType: v4.00+
PlayResX: 1920
PlayResY: 1080
WrapStyle: 2
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,64,&H00FFFFFF,&H0000FFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,3,1,2,96,96,60,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
";

pub fn write(rendering: &Rendering<'_>) -> Vec<u8> {
    let is_karaoke = |cue: &Cue| rendering.options().highlight_words && !cue.words.is_empty();
    let line = |cue: &Cue| {
        let text = if is_karaoke(cue) { karaoke(cue) } else { escaped(&cue.text) };
        format!("Dialogue: 0,{},{},Default,,0,0,0,,{text}\n", time(cue.start), time(cue.end))
    };
    let lines: String = rendering.cues().list.iter().map(line).collect();
    format!("{HEAD}{lines}").into_bytes()
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
