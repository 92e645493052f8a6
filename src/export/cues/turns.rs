//! Where the speaker changes among the units of a transcript: no cue goes on there, except that two short turns may share
//! one, with a line for each.

use std::ops::Range;

use super::lines::CueSize;
use super::speakers::{DASH, label_width, names};
use super::units::{Unit, columns};
use crate::export::options::{ExportOptions, SpeakerLabels};
use crate::transcript::Transcript;

pub struct CueTurns<'t> {
    units: &'t [Unit],
    names: Vec<&'t str>,
    /// For each unit, where the turn ends that it belongs to.
    ends: Vec<usize>,
    labels: SpeakerLabels,
    size: CueSize,
}

impl<'t> CueTurns<'t> {
    pub fn new(
        transcript: &'t Transcript,
        units: &'t [Unit],
        size: CueSize,
        options: &ExportOptions,
    ) -> Self {
        let mut ends = vec![units.len(); units.len()];
        for at in (1..units.len()).rev() {
            ends[at - 1] = if units[at - 1].speaker == units[at].speaker { ends[at] } else { at };
        }
        Self { units, names: names(transcript), ends, labels: options.speaker_labels, size }
    }

    /// Returns where the turn of a unit ends.
    pub fn end(&self, unit: usize) -> usize {
        self.ends.get(unit).copied().unwrap_or(self.units.len())
    }

    fn is_start(&self, unit: usize) -> bool {
        unit.checked_sub(1).is_none_or(|before| self.end(before) == unit)
    }

    /// Returns the columns of the name before a cue that starts with a unit.
    pub fn label_width(&self, first: usize) -> usize {
        let is_shown = match self.labels {
            SpeakerLabels::Auto => self.is_start(first),
            SpeakerLabels::Always => true,
            SpeakerLabels::Never => false,
        };
        let name = self.units.get(first).and_then(|unit| self.names.get(unit.speaker?));
        name.filter(|_| is_shown).map_or(0, |name| label_width(name))
    }

    /// Returns the names of the speakers of a cue.
    pub fn speakers(&self, cue: &Range<usize>) -> Vec<String> {
        let second = Some(self.end(cue.start)).filter(|second| *second < cue.end);
        let firsts = [Some(cue.start), second].into_iter().flatten();
        let name = |first: usize| self.names.get(self.units.get(first)?.speaker?);
        firsts.filter_map(name).map(|name| (*name).to_owned()).collect()
    }

    /// Returns the lines of a cue of two speakers, if it is one.
    pub fn lines(&self, cue: &Range<usize>) -> Option<Vec<Range<usize>>> {
        let second = self.end(cue.start);
        (second < cue.end).then(|| vec![0..second - cue.start, second - cue.start..cue.end - cue.start])
    }

    /// Returns the turn that starts with a unit together with the next one, if there is a line for each.
    pub fn dialogue(&self, first: usize) -> Option<Range<usize>> {
        let second = self.end(first);
        let end = self.end(second);
        let is_known = |unit: usize| self.units.get(unit).is_some_and(|unit| unit.speaker.is_some());
        let fits = |turn: Range<usize>| {
            turn.len() <= self.size.words && dashed_width(&self.units[turn]) <= self.size.width
        };
        let is_allowed = self.labels != SpeakerLabels::Always && self.size.lines > 1 && self.is_start(first);
        let is_dialogue = is_allowed && is_known(first) && is_known(second);
        (is_dialogue && fits(first..second) && fits(second..end)).then_some(first..end)
    }
}

/// Returns the columns of a turn after its dash.
fn dashed_width(turn: &[Unit]) -> usize {
    let spaces = turn.iter().skip(1).filter(|unit| unit.spaced).count();
    columns(DASH) + spaces + turn.iter().map(|unit| unit.width).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::export::cues::{Cue, readable};
    use crate::export::{CueLimits, CueQuality, ExportOptions, SpeakerLabels};
    use crate::transcript::{Segment, Transcript, Word};

    /// Makes a transcript of words: the speaker, the text, the pause before it and its length in seconds.
    fn spoken(words: &[(Option<&str>, &str, f64, f64)]) -> Transcript {
        let mut now = 0.0;
        let word = |&(speaker, text, pause, length): &(Option<&str>, &str, f64, f64)| {
            let start = now + pause;
            now = start + length;
            let speaker = speaker.map(str::to_owned);
            Word { word: format!(" {text}"), start, end: now, probability: 1.0, speaker }
        };
        let words: Vec<Word> = words.iter().map(word).collect();
        let segment = Segment { end: now, words: Some(words), ..Segment::default() };
        Transcript { duration: now, language: "en".into(), segments: vec![segment], ..Transcript::default() }
    }

    fn laid_out(words: &[(Option<&str>, &str, f64, f64)], options: &ExportOptions) -> Vec<Cue> {
        let mut cues = readable::cues(&spoken(words), options);
        super::super::speakers::label(&mut cues, options.speaker_labels);
        cues
    }

    fn shown(cues: &[Cue]) -> Vec<String> {
        cues.iter().map(|cue| cue.labelled_text().into_owned()).collect()
    }

    const A: Option<&str> = Some("Anna");
    const B: Option<&str> = Some("Ben");

    #[test]
    fn two_short_turns_share_a_cue_with_a_line_for_each() {
        let words = [(A, "Ready?", 0.0, 0.4), (B, "Yes.", 0.1, 0.3), (A, "Then go on.", 2.0, 2.0)];
        let cues = laid_out(&words, &ExportOptions::default());
        assert_eq!(shown(&cues), ["- Ready?\n- Yes.", "Anna: Then go on."]);
        assert_eq!(cues[0].speakers, ["Anna", "Ben"]);
        let one_line = CueLimits { line_count: 1, ..CueLimits::default() };
        for options in [
            ExportOptions { speaker_labels: SpeakerLabels::Always, ..ExportOptions::default() },
            ExportOptions { limits: one_line, ..ExportOptions::default() },
        ] {
            assert_eq!(
                shown(&laid_out(&words, &options)),
                ["Anna: Ready?", "Ben: Yes.", "Anna: Then go on."]
            );
        }
        let never = ExportOptions { speaker_labels: SpeakerLabels::Never, ..ExportOptions::default() };
        assert_eq!(shown(&laid_out(&words, &never)), ["- Ready?\n- Yes.", "Then go on."]);
    }

    #[test]
    fn turns_that_can_be_read_alone_or_are_far_apart_do_not_share_a_cue() {
        let options = ExportOptions::default();
        let apart = [(A, "Ready?", 0.0, 0.4), (B, "Yes.", 3.0, 0.3)];
        assert_eq!(shown(&laid_out(&apart, &options)), ["Anna: Ready?", "Ben: Yes."]);
        let slow = [(A, "Ready now?", 0.0, 2.5), (B, "Yes.", 0.2, 1.5)];
        assert_eq!(shown(&laid_out(&slow, &options)), ["Anna: Ready now?", "Ben: Yes."]);
        let unknown = [(A, "Ready?", 0.0, 0.4), (None, "Yes.", 0.1, 0.3)];
        assert_eq!(shown(&laid_out(&unknown, &options)), ["Anna: Ready?", "Yes."]);
    }

    #[test]
    fn lines_leave_room_for_the_name() {
        let words = ["one", "two", "three", "four", "five", "six"].map(|word| (A, word, 0.0, 0.5));
        let options = ExportOptions { max_line_width: Some(16), ..ExportOptions::default() };
        let cues = laid_out(&words, &options);
        assert_eq!(shown(&cues).concat().matches("Anna: ").count(), 1);
        assert!(shown(&cues)[0].starts_with("Anna: one"));
        assert_eq!(CueQuality::of(&cues, &options).long_lines, 0, "{:?}", shown(&cues));
    }

    proptest! {
        #[test]
        fn a_cue_has_one_speaker_or_a_line_for_each_of_two(
            words in prop::collection::vec((0..4_usize, "[a-z]{1,9}[.,?]?", 0.0..0.6_f64, 0.05..0.8_f64), 0..60),
            width in 24..44_usize, count in 1..4_usize,
            labels in prop::sample::select(vec![SpeakerLabels::Auto, SpeakerLabels::Always, SpeakerLabels::Never]),
        ) {
            let names = [A, B, Some("Zoë"), None];
            let words: Vec<_> = words.iter().map(|(who, text, pause, length)| (names[*who], text.as_str(), *pause, *length)).collect();
            let options = ExportOptions {
                max_line_width: Some(width), max_line_count: Some(count), speaker_labels: labels, ..ExportOptions::default()
            };
            let cues = readable::cues(&spoken(&words), &options);
            // Each word is shown once, in its order, by its speaker.
            let mut left = words.iter();
            for cue in &cues {
                let lines: Vec<&str> = cue.text.lines().collect();
                let is_dialogue = cue.speakers.len() == 2;
                prop_assert!(!is_dialogue || (lines.len() == 2 && cue.speakers[0] != cue.speakers[1]));
                for (nth, line) in lines.iter().enumerate() {
                    let speaker = cue.speakers.get(if is_dialogue { nth } else { 0 }).map(String::as_str);
                    let line = if is_dialogue { line.strip_prefix("- ").unwrap() } else { line };
                    for word in line.split(' ') {
                        let (who, text, ..) = left.next().unwrap();
                        prop_assert_eq!((*who, *text), (speaker, word));
                    }
                }
                prop_assert_eq!(cue.words.iter().map(|word| word.text.as_str()).collect::<String>(), &*cue.text);
            }
            prop_assert!(left.next().is_none());
            let mut cues = cues;
            super::super::speakers::label(&mut cues, labels);
            let found = CueQuality::of(&cues, &options);
            prop_assert_eq!((found.overlaps, found.long_lines, found.too_many_lines, found.too_long), (0, 0, 0, 0));
        }
    }
}
