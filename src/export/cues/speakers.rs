//! The speakers of cues: names before texts, and the lines of two speakers in one cue.

use std::borrow::Cow;

use super::units::columns;
use super::{Cue, CueWord};
use crate::export::options::SpeakerLabels;
use crate::transcript::Transcript;

/// What comes between a name and the text.
const AFTER_NAME: &str = ": ";
/// What begins the line of a speaker in a cue of two.
pub const DASH: &str = "- ";

/// Returns the names of a transcript's segments and words, each once, in the order of the text.
pub fn names(transcript: &Transcript) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for segment in &transcript.segments {
        let words = segment.words.iter().flatten().filter_map(|word| word.speaker.as_deref());
        for name in segment.speaker.as_deref().into_iter().chain(words) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// Returns whether a segment names its speaker.
pub fn has_speakers(transcript: &Transcript) -> bool {
    transcript.segments.iter().any(|segment| segment.speaker.is_some())
}

/// Returns a name as a line shows it: in one line, without what players take for the times of a cue.
pub fn shown_name(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").replace("-->", "->")
}

/// Returns the columns of a name before a text.
pub fn label_width(name: &str) -> usize {
    columns(&shown_name(name)) + columns(AFTER_NAME)
}

/// Decides which cues show the name of their speaker.
pub fn label(cues: &mut [Cue], labels: SpeakerLabels) {
    let mut last: Option<String> = None;
    for cue in cues {
        if labels == SpeakerLabels::Never {
            cue.speakers.clear();
        }
        cue.is_labelled = match cue.speakers.as_slice() {
            [name] => labels == SpeakerLabels::Always || last.as_ref() != Some(name),
            _ => false,
        };
        last = cue.speakers.last().cloned();
    }
}

impl Cue {
    /// Returns the text after the name of its speaker, if it is labelled.
    pub fn labelled_text(&self) -> Cow<'_, str> {
        match self.speakers.first().filter(|_| self.is_labelled) {
            Some(name) => Cow::Owned(format!("{}{AFTER_NAME}{}", shown_name(name), self.text)),
            None => Cow::Borrowed(&self.text),
        }
    }

    /// Returns a cue of the same speakers with another time and text, without word times.
    pub fn with_text(&self, start: i64, end: i64, text: String) -> Cue {
        Cue { start, end, text, words: Vec::new(), ..self.clone() }
    }

    /// Returns the part of each speaker: the whole cue, or each line of two.
    pub fn parts(&self) -> Vec<(&str, Cue)> {
        let [first, second] = self.speakers.as_slice() else {
            return self.speakers.first().map(|name| (name.as_str(), self.clone())).into_iter().collect();
        };
        let (upper, lower) = self.text.split_once('\n').unwrap_or((&self.text, ""));
        let at = self.words.iter().position(|word| word.text.starts_with('\n')).unwrap_or(self.words.len());
        let (before, after) = self.words.split_at(at);
        let mut after: Vec<CueWord> = after.to_vec();
        if let Some(word) = after.first_mut() {
            word.text = word.text.trim_start_matches('\n').to_owned();
        }
        let part = |text: &str, words: Vec<CueWord>| Cue { text: text.into(), words, ..self.clone() };
        vec![(first, part(upper, before.to_vec())), (second, part(lower, after))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cue(speakers: &[&str]) -> Cue {
        let speakers = speakers.iter().map(|name| (*name).to_owned()).collect();
        Cue { speakers, ..Cue::plain(0, 1_000, "- Yes.\n- No.") }
    }

    #[test]
    fn names_come_where_the_speaker_changes_or_always_or_never() {
        let cues = [&["A"][..], &["A"], &["B"], &[], &["B"], &["B", "A"], &["A"], &["B"]].map(cue);
        let labelled = |labels| {
            let mut cues = cues.clone();
            label(&mut cues, labels);
            cues.map(|cue| cue.is_labelled)
        };
        let changes = [true, false, true, false, true, false, false, true];
        assert_eq!(labelled(SpeakerLabels::Auto), changes);
        assert_eq!(labelled(SpeakerLabels::Always), [true, true, true, false, true, false, true, true]);
        assert_eq!(labelled(SpeakerLabels::Never), [false; 8]);
    }

    #[test]
    fn names_are_shown_in_one_line() {
        let mut cue = cue(&["A\n-->  B"]);
        cue.is_labelled = true;
        assert_eq!(cue.labelled_text(), "A -> B: - Yes.\n- No.");
        assert_eq!(label_width("A\nB"), 5);
    }

    #[test]
    fn a_cue_of_two_has_a_line_for_each() {
        let word = |text: &str| CueWord { start: 0, end: 0, text: text.into() };
        let mut cue = cue(&["A", "B"]);
        cue.words = vec![word("- Yes."), word("\n- No.")];
        let parts = cue.parts();
        let shown: Vec<_> =
            parts.iter().map(|(name, part)| (*name, &*part.text, &*part.words[0].text)).collect();
        assert_eq!(shown, [("A", "- Yes.", "- Yes."), ("B", "- No.", "- No.")]);
        assert!(self::cue(&[]).parts().is_empty());
    }
}
