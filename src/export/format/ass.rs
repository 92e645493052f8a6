//! Advanced SubStation Alpha: subtitles with a style, and with the words of karaoke.

use crate::export::Exporter;
use crate::export::cues::{Cue, cues};
use crate::export::options::Shape;
use crate::transcript::Transcript;

pub struct Ass;

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

impl Exporter for Ass {
    fn extension(&self) -> &'static str {
        "ass"
    }

    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8> {
        let line = |cue: &Cue| {
            let text =
                if shape.highlight_words && !cue.words.is_empty() { karaoke(cue) } else { spelt(&cue.text) };
            format!("Dialogue: 0,{},{},Default,,0,0,0,,{text}\n", time(cue.start), time(cue.end))
        };
        let lines: String = cues(transcript, shape).list.iter().map(line).collect();
        format!("{HEAD}{lines}").into_bytes()
    }
}

fn centiseconds(milliseconds: i64) -> i64 {
    (milliseconds + 5) / 10
}

fn time(milliseconds: i64) -> String {
    let all = centiseconds(milliseconds);
    format!("{}:{:02}:{:02}.{:02}", all / 360_000, all / 6_000 % 60, all / 100 % 60, all % 100)
}

/// Line feeds as the format has them, and no braces, between which it has commands.
fn spelt(text: &str) -> String {
    // A backslash would begin a command; a joiner of no width behind it is not seen.
    let text = text.replace('\\', "\\\u{2060}").replace('{', "\\{").replace('}', "\\}");
    text.replace("\r\n", "\n").replace(['\n', '\r'], "\\N")
}

/// Each word behind the time from its beginning to the next one's; silence before the first has its own.
fn karaoke(cue: &Cue) -> String {
    let begin = centiseconds(cue.start);
    let mut starts: Vec<i64> = cue.words.iter().map(|word| centiseconds(word.start)).collect();
    starts.push(cue.words.last().map_or(begin, |word| centiseconds(word.end)));
    let silence = starts[0] - begin;
    let mut out = if silence > 0 { format!("{{\\k{silence}}}") } else { String::new() };
    for (word, pair) in cue.words.iter().zip(starts.windows(2)) {
        // The line ends before the word's time begins.
        let (feed, text) = match word.text.strip_prefix('\n') {
            Some(text) => ("\\N", text),
            None => ("", word.text.as_str()),
        };
        out.push_str(&format!("{feed}{{\\k{}}}{}", (pair[1] - pair[0]).max(0), spelt(text)));
    }
    out
}
