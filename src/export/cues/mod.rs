//! Transcript → the boxes of text that a player shows, in milliseconds.

mod breaks;
mod lines;
mod openai;
mod quality;
mod readable;
mod timing;
mod units;

pub use quality::{CueQuality, quality};

use super::options::{Preset, Shape};
use super::partial::mark;
use super::python;
use crate::transcript::Transcript;

/// One box of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cue {
    pub start: i64,
    pub end: i64,
    /// Its lines, parted by line feeds.
    pub text: String,
    /// What `text` is made of, blanks and line feeds included; none if only the whole has times.
    pub words: Vec<CueWord>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CueWord {
    pub start: i64,
    pub end: i64,
    /// With the blank or the line feed that stands before it.
    pub text: String,
}

impl Cue {
    pub fn plain(start: i64, end: i64, text: impl Into<String>) -> Self {
        Self { start, end, text: text.into(), words: Vec::new() }
    }

    fn of_words(start: i64, end: i64, words: Vec<CueWord>) -> Self {
        let text = words.iter().map(|word| word.text.as_str()).collect();
        Self { start, end, text, words }
    }
}

/// What a transcript is shown as, and by which rules.
pub struct Cues {
    pub list: Vec<Cue>,
    pub preset: Preset,
}

/// The cues of a transcript, and one more that says so if it is partial.
pub fn cues(transcript: &Transcript, shape: &Shape) -> Cues {
    let has_words = transcript.segments.iter().any(|segment| segment.words.is_some());
    let preset = shape.preset.unwrap_or(if has_words { Preset::Readable } else { Preset::OpenAi });
    let mut list = match preset {
        Preset::Readable => readable::cues(transcript, shape),
        Preset::OpenAi => openai::cues(transcript, shape),
    };
    if let Some(mark) = mark(transcript) {
        let (start, end) = (python::milliseconds(mark.start), python::milliseconds(mark.end));
        let late = list.last().map_or(0, |last| (last.end - start).max(0));
        list.push(Cue::plain(start + late, end + late, mark.text));
    }
    Cues { list, preset }
}

impl Cues {
    /// A cue for each word, which is underlined in it, and for each pause between words.
    pub fn highlighted(self) -> Self {
        let list = self.list.into_iter().flat_map(|cue| highlighted(cue, self.preset)).collect();
        Self { list, ..self }
    }
}

fn highlighted(cue: Cue, preset: Preset) -> Vec<Cue> {
    if cue.words.is_empty() {
        return vec![cue];
    }
    let mut shown = Vec::new();
    let mut last = cue.start;
    for (i, word) in cue.words.iter().enumerate() {
        // openai's writers show also what has no length.
        if preset == Preset::Readable && word.end <= word.start {
            continue;
        }
        if last != word.start {
            shown.push(Cue::plain(last, word.start, cue.text.clone()));
        }
        let text = cue.words.iter().enumerate().map(|(j, word)| match i == j {
            true => underlined(&word.text),
            false => word.text.clone(),
        });
        shown.push(Cue::plain(word.start, word.end, text.collect::<String>()));
        last = word.end;
    }
    if preset == Preset::Readable && last < cue.end {
        shown.push(Cue::plain(last, cue.end, cue.text));
    }
    shown
}

/// Python's `re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", word)`: a dot is any character but a line feed, and the end
/// is also before a last line feed.
fn underlined(word: &str) -> String {
    let inner = word.trim_start_matches(python::is_space);
    let blank = &word[..word.len() - inner.len()];
    let (line, rest) = match inner.strip_suffix('\n') {
        Some(line) => (line, "\n"),
        None => (inner, ""),
    };
    match line.contains('\n') {
        true => word.to_owned(),
        false => format!("{blank}<u>{line}</u>{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_underlined_as_pythons_expression_does() {
        let cases = [
            (" word", " <u>word</u>"),
            ("\nword", "\n<u>word</u>"),
            ("word\n", "<u>word</u>\n"),
            ("wo rd ", "<u>wo rd </u>"),
            ("  ", "  <u></u>"),
            ("", "<u></u>"),
            ("a\nb", "a\nb"),
            ("a\n\n", "a\n\n"),
        ];
        for (word, expected) in cases {
            assert_eq!(underlined(word), expected, "{word:?}");
        }
    }
}
