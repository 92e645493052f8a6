//! Transcript → cues: the boxes of text that a player shows, with times in milliseconds.

mod breaks;
mod lines;
mod openai;
mod quality;
mod readable;
pub mod speakers;
mod timing;
mod turns;
mod units;

use std::borrow::Cow;

pub use quality::CueQuality;
pub use units::is_unspaced;

use super::options::{ExportOptions, Preset};
use super::partial::partial_segment;
use super::python;
use crate::transcript::Transcript;

/// A box of text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cue {
    pub start: i64,
    pub end: i64,
    /// The lines, separated by line feeds.
    pub text: String,
    /// The words that `text` consists of, white space included; empty if only the whole cue has times.
    pub words: Vec<CueWord>,
    /// Who speaks: nobody known, one, or the speakers of two lines.
    pub speakers: Vec<String>,
    /// Whether the name of its speaker belongs before the text.
    pub is_labelled: bool,
}

/// A word of a cue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CueWord {
    pub start: i64,
    pub end: i64,
    /// The word after the space or line feed that precedes it.
    pub text: String,
}

impl Cue {
    /// Returns a cue without word times.
    pub fn plain(start: i64, end: i64, text: impl Into<String>) -> Self {
        Self { start, end, text: text.into(), ..Self::default() }
    }

    fn of_words(start: i64, end: i64, words: Vec<CueWord>) -> Self {
        let text = words.iter().map(|word| word.text.as_str()).collect();
        Self { start, end, text, words, ..Self::default() }
    }

    /// Returns a cue for each word, which is underlined in it, and for each pause between words.
    fn highlighted(&self, preset: Preset) -> Vec<Cue> {
        if self.words.is_empty() {
            return vec![self.clone()];
        }
        let mut shown = Vec::new();
        let mut last = self.start;
        for (i, word) in self.words.iter().enumerate() {
            // openai's writers also show words without length.
            if preset != Preset::OpenAi && word.end <= word.start {
                continue;
            }
            if last != word.start {
                shown.push(self.with_text(last, word.start, self.text.clone()));
            }
            let text = self.words.iter().enumerate().map(|(j, word)| match i == j {
                true => underlined(&word.text),
                false => word.text.clone(),
            });
            shown.push(self.with_text(word.start, word.end, text.collect()));
            last = word.end;
        }
        if preset != Preset::OpenAi && last < self.end {
            shown.push(self.with_text(last, self.end, self.text.clone()));
        }
        shown
    }
}

/// The cues of a transcript, and the rules that they were laid out by.
#[derive(Debug)]
pub struct Cues {
    pub list: Vec<Cue>,
    pub preset: Preset,
}

impl Cues {
    /// Lays out a transcript; a partial one ends with a cue that says so.
    pub fn of(transcript: &Transcript, options: &ExportOptions) -> Self {
        let has_words = transcript.segments.iter().any(|segment| segment.words.is_some());
        let preset = options.preset.unwrap_or(if has_words { Preset::Readable } else { Preset::OpenAi });
        let mut list = match preset {
            Preset::OpenAi => openai::cues(transcript, options),
            _ => readable::cues(transcript, options),
        };
        speakers::label(&mut list, options.speaker_labels);
        if let Some(mark) = partial_segment(transcript) {
            let (start, end) = (python::milliseconds(mark.start), python::milliseconds(mark.end));
            let delay = list.last().map_or(0, |last| (last.end - start).max(0));
            list.push(Cue::plain(start + delay, end + delay, mark.text));
        }
        Self { list, preset }
    }

    /// Returns the cues as subtitles show them: as they are, or split so that each word is underlined in turn.
    pub fn shown(&self, highlight_words: bool) -> Cow<'_, [Cue]> {
        match highlight_words {
            true => self.list.iter().flat_map(|cue| cue.highlighted(self.preset)).collect(),
            false => Cow::Borrowed(&self.list),
        }
    }
}

/// Python's `re.sub(r"^(\s*)(.*)$", r"\1<u>\2</u>", word)`: a dot matches anything but a line feed, and `$` also matches
/// before a final line feed.
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
    fn underlines_words_as_the_python_expression_does() {
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
