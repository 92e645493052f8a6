//! Readable cues: few lines of even length, broken where a reader would pause, shown long enough to be read.
//!
//! Dynamic programming over the words finds the cheapest of all ways to split them into cues. Its memory grows with the
//! number of words, its time with the number of words times how many of them fit into one cue.

use std::ops::Range;

use super::breaks::{self, BreakRules, ends_sentence};
use super::lines::{CueSize, LineFill, split};
use super::speakers::DASH;
use super::timing::{SpokenText, schedule};
use super::turns::CueTurns;
use super::units::{Unit, columns, units};
use super::{Cue, CueWord};
use crate::export::options::{CueLimits, ExportOptions};
use crate::transcript::Transcript;

/// The cost of every cue, so that fewer cues are better.
const CUE: f64 = 4.0;
/// The cost of a full cue relative to an empty one, by the square of how full it is, so that even cues are better.
const FULLNESS: f64 = 4.0;
/// The cost of a sentence that ends inside a cue.
const SENTENCE_INSIDE: f64 = 12.0;
/// The cost of two speakers in one cue: more than a second cue costs that leaves time to read it.
const DIALOGUE: f64 = 6.0;
/// The cost of a cue that leaves no time to read it.
const UNREADABLE: f64 = 40.0;
/// The milliseconds of silence inside a cue that cost nothing, the cost per second beyond that, and the silence behind
/// which a new cue begins.
const PAUSE_FREE: i64 = 250;
const PAUSE: f64 = 20.0;
const PAUSE_MAX: i64 = 500;
/// The milliseconds in which a word is spoken even if its end was placed after a pause.
const LONG_WORD: i64 = 1_000;
/// The most units of a cue, whatever the limits are.
const MAX_UNITS: usize = 400;

/// Lays out a transcript as readable cues.
pub fn cues(transcript: &Transcript, options: &ExportOptions) -> Vec<Cue> {
    let size = CueSize {
        width: options.line_width().max(1),
        lines: options.line_count().max(1),
        words: options.max_words_per_line.unwrap_or(usize::MAX).max(1),
    };
    let units = units(transcript, size.width);
    let rules = BreakRules::new(&transcript.language);
    let costs: Vec<f64> = units.windows(2).map(|pair| breaks::cost(&pair[0], &pair[1], rules)).collect();
    let turns = CueTurns::new(transcript, &units, size, options);
    let ends = choose_ends(&units, &costs, &turns, size, &options.limits);
    let (mut start, mut found, mut texts) = (0, Vec::with_capacity(ends.len()), Vec::new());
    for end in ends {
        let (units, inside) = (&units[start..end], &costs[start..(end - 1).max(start)]);
        let (words, label) = match turns.lines(&(start..end)) {
            Some(lines) => (words(units, lines, DASH), 0),
            None => {
                let label = turns.label_width(start);
                (words(units, split(units, inside, size, label), ""), label)
            }
        };
        texts.push(spoken_text(units, &words, label));
        found.push((words, turns.speakers(&(start..end))));
        start = end;
    }
    let times = schedule(&texts, &options.limits);
    let cue = |((words, speakers), (start, end))| Cue { speakers, ..timed(words, start, end) };
    found.into_iter().zip(times).map(cue).collect()
}

/// Returns after which units the cues end.
fn choose_ends(
    units: &[Unit],
    costs: &[f64],
    turns: &CueTurns<'_>,
    size: CueSize,
    limits: &CueLimits,
) -> Vec<usize> {
    // `best[to]`: the lowest cost of the first `to` units in cues, and where the last cue starts.
    let mut best = vec![(f64::INFINITY, 0); units.len() + 1];
    best[0].0 = 0.0;
    for from in 0..units.len() {
        let so_far = best[from].0;
        let mut consider = |draft: &CueDraft, to: usize| {
            let next = units.get(to + 1).map(|next| next.start);
            let is_change = turns.end(to) == to + 1;
            let cue_break = costs.get(to).copied().filter(|_| !is_change).unwrap_or(0.0);
            let cost = so_far + cue_break + draft.cost(units[from].start, next, size, limits);
            if cost < best[to + 1].0 {
                best[to + 1] = (cost, from);
            }
        };
        let mut draft = CueDraft::labelled(turns.label_width(from));
        for to in from..turns.end(from).min(from + MAX_UNITS) {
            draft.add(&units[from..=to], size);
            if to > from && !draft.fits(&units[from..=to], size, limits) {
                break;
            }
            consider(&draft, to);
        }
        if let Some(cue) = turns.dialogue(from) {
            let draft = CueDraft::dialogue(&units[cue.clone()], turns.end(from) - from, size);
            if draft.fits(&units[cue.clone()], size, limits) {
                consider(&draft, cue.end - 1);
            }
        }
    }
    let mut ends = Vec::new();
    let mut end = units.len();
    while end > 0 {
        ends.push(end);
        end = best[end].1;
    }
    ends.reverse();
    ends
}

/// A candidate for a cue.
#[derive(Default)]
struct CueDraft {
    fill: LineFill,
    /// The columns of all lines.
    width: usize,
    /// The longest silence between two words.
    pause: i64,
    /// The cost of pauses and sentence ends inside the cue.
    inside: f64,
}

impl CueDraft {
    /// Returns a cue without units that begins with a label of this width.
    fn labelled(label: usize) -> Self {
        Self { fill: LineFill::labelled(label), width: label, ..Self::default() }
    }

    /// Returns the cue of two turns, each of which fits into a line after a dash.
    fn dialogue(units: &[Unit], second: usize, size: CueSize) -> Self {
        let mut draft = Self::labelled(2 * columns(DASH));
        (1..=units.len()).for_each(|count| draft.add(&units[..count], size));
        draft.inside += DIALOGUE;
        // The dash shows where a sentence ends with the first turn.
        if let [.., last] = &units[..second]
            && units.get(second).is_some_and(|next| ends_sentence(&last.text, &next.text))
        {
            draft.inside -= SENTENCE_INSIDE;
        }
        draft.fill.lines = 2;
        draft
    }

    /// Adds the last of the cue's units.
    fn add(&mut self, units: &[Unit], size: CueSize) {
        let [.., unit] = units else { return };
        self.fill.add(unit, size);
        self.width += unit.width + usize::from(unit.spaced);
        let [.., before, _] = units else { return };
        let pause = unit.start - before.end;
        self.pause = self.pause.max(pause);
        if pause > PAUSE_FREE {
            self.inside += (pause - PAUSE_FREE) as f64 / 1000.0 * PAUSE;
        }
        if ends_sentence(&before.text, &unit.text) {
            self.inside += SENTENCE_INSIDE;
        }
    }

    fn fits(&self, units: &[Unit], size: CueSize, limits: &CueLimits) -> bool {
        let [first, .., last] = units else { return true };
        let spoken = last.end.min(last.start + LONG_WORD) - first.start;
        self.fill.lines <= size.lines && spoken <= limits.max_duration && self.pause < PAUSE_MAX
    }

    /// Returns the cost of the cue, given its start and the start of the next.
    fn cost(&self, start: i64, next: Option<i64>, size: CueSize, limits: &CueLimits) -> f64 {
        let available = next.map_or(i64::MAX, |next| next - limits.min_gap - start).min(limits.max_duration);
        let needed = reading_time(self.width, limits).max(limits.min_duration).max(1);
        let missing = (needed - available).clamp(0, needed) as f64 / needed as f64;
        let fullness = self.width as f64 / (size.width * size.lines) as f64;
        CUE + self.inside + missing * UNREADABLE + fullness * fullness * FULLNESS
    }
}

/// Returns the milliseconds that it takes to read a text.
pub fn reading_time(columns: usize, limits: &CueLimits) -> i64 {
    (columns as f64 * 1000.0 / limits.max_speed).ceil() as i64
}

/// Returns the words of a cue with the spaces and line feeds between them, and with what every line begins with.
fn words(units: &[Unit], lines: Vec<Range<usize>>, line_start: &str) -> Vec<CueWord> {
    let mut words = Vec::with_capacity(units.len());
    for (nth, line) in lines.into_iter().enumerate() {
        for (at, unit) in units[line].iter().enumerate() {
            let before = match (nth, at) {
                (0, 0) => "",
                (_, 0) => "\n",
                _ if unit.spaced => " ",
                _ => "",
            };
            let line_start = if at == 0 { line_start } else { "" };
            let text = format!("{before}{line_start}{}", unit.text);
            words.push(CueWord { start: unit.start, end: unit.end, text });
        }
    }
    words
}

fn spoken_text(units: &[Unit], words: &[CueWord], label: usize) -> SpokenText {
    let columns = label + words.iter().map(|word| columns(word.text.trim_start_matches('\n'))).sum::<usize>();
    let start = units.first().map_or(0, |unit| unit.start);
    let end = units.iter().map(|unit| unit.end).max().unwrap_or(start);
    SpokenText { start, end, columns }
}

/// Makes a cue of words, whose times are clamped to those of the cue.
fn timed(mut words: Vec<CueWord>, start: i64, end: i64) -> Cue {
    let mut now = start;
    for word in &mut words {
        word.start = word.start.clamp(now, end);
        word.end = word.end.clamp(word.start, end);
        now = word.end;
    }
    Cue::of_words(start, end, words)
}

#[cfg(test)]
pub mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::cues::CueQuality;
    use crate::transcript::{Segment, Word};

    /// Makes a transcript of segments, given the text and the words of each. A word takes a quarter of a second; a text
    /// without words takes a second.
    pub fn transcript(segments: &[(&str, &[&str])]) -> Transcript {
        let mut now = 0.0;
        let mut made = Vec::new();
        for (id, (text, words)) in segments.iter().enumerate() {
            let start = now;
            let word = |word: &&str| {
                now += 0.25;
                Word { word: (*word).into(), start: now - 0.25, end: now, probability: 0.5, speaker: None }
            };
            let words: Vec<Word> = words.iter().map(word).collect();
            if words.is_empty() {
                now += 1.0;
            }
            let text =
                if words.is_empty() { (*text).into() } else { words.iter().map(|w| &*w.word).collect() };
            let words = (!words.is_empty()).then_some(words);
            made.push(Segment { id, start, end: now, text, words, ..Segment::default() });
        }
        Transcript {
            source: "talk.mp3".into(),
            duration: now,
            language: "en".into(),
            text: made.iter().map(|segment| segment.text.as_str()).collect(),
            segments: made,
            ..Transcript::default()
        }
    }

    /// Returns the texts of the cues of words that are spoken without pauses.
    fn cue_texts(words: &str) -> Vec<String> {
        let words: Vec<String> = words.split(' ').map(|word| format!(" {word}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cues(&transcript(&[("", &words)]), &ExportOptions::default())
            .into_iter()
            .map(|cue| cue.text)
            .collect()
    }

    #[test]
    fn breaks_cues_where_a_reader_pauses() {
        assert_eq!(cue_texts("Open the door now."), ["Open the door now."]);
        assert_eq!(
            cue_texts("When the old man came home, the lights were already out and nobody said a word."),
            ["When the old man came home, the lights\nwere already out and nobody said a word."]
        );
        assert_eq!(
            cue_texts("I have never seen anything like that before. It was the largest ship of them all."),
            ["I have never seen anything like\nthat before.", "It was the largest ship of them all."]
        );
    }

    prop_compose! {
        fn timed_words()(
            words in prop::collection::vec((
                prop_oneof![
                    8 => " ?[a-zA-Z]{1,12}[.,!?]?",
                    1 => "[你好。、อะไรกิ]{1,40}",
                    1 => any::<String>(),
                ],
                -0.2..3.0_f64,
                -0.1..1.5_f64,
            ), 0..60)
        ) -> Vec<Word> {
            let mut now = 0.0;
            let time = |(word, pause, length): (String, f64, f64)| {
                now += pause.max(-0.1) * if pause < 2.0 { 0.1 } else { 1.0 };
                let start = now;
                now += length;
                Word { word, start, end: now, probability: 1.0, speaker: None }
            };
            words.into_iter().map(time).collect()
        }
    }

    fn of_words(words: Vec<Word>) -> Transcript {
        let half = words.len() / 2;
        let mut whole = transcript(&[("", &[]), ("", &[])]);
        whole.segments[1].words = Some(words[half..].to_vec());
        whole.segments[0].words = Some(words[..half].to_vec());
        whole
    }

    fn letters(text: &str) -> String {
        text.replace("-->", "->").chars().filter(|c| !crate::export::python::is_space(*c)).collect()
    }

    proptest! {
        #[test]
        fn keeps_every_limit_that_can_be_kept(words in timed_words(), width in 5..50_usize, count in 1..4_usize, per_line in 1..9_usize) {
            let spoken: String = words.iter().map(|word| word.word.as_str()).collect();
            let options = ExportOptions {
                max_line_width: Some(width),
                max_line_count: Some(count),
                max_words_per_line: (per_line < 8).then_some(per_line),
                ..ExportOptions::default()
            };
            let cues = cues(&of_words(words), &options);
            let shown: String = cues.iter().map(|cue| cue.text.as_str()).collect();
            prop_assert_eq!(letters(&shown), letters(&spoken));
            for cue in &cues {
                prop_assert!(cue.start < cue.end && cue.end - cue.start <= 7_000, "{:?}", cue);
                prop_assert!(!cue.text.trim().is_empty() && cue.text.lines().count() <= count);
                for line in cue.text.lines() {
                    // Only a word that cannot be broken may be longer.
                    prop_assert!(columns(line) <= width || !line.contains(' '), "{:?}", line);
                    prop_assert!(line.split(' ').count() <= per_line || per_line == 8);
                }
                prop_assert_eq!(cue.words.iter().map(|word| word.text.as_str()).collect::<String>(), &*cue.text);
                let inside = cue.words.iter().flat_map(|word| [word.start, word.end]).collect::<Vec<_>>();
                prop_assert!(inside.is_sorted() && inside[0] >= cue.start && inside[inside.len() - 1] <= cue.end);
            }
            for pair in cues.windows(2) {
                let gap = pair[1].start - pair[0].end;
                prop_assert!(gap >= 0);
                // Either the next word leaves no time, or there is a gap and the time up to it is used for reading.
                let crowded = pair[1].start - pair[0].start < 183;
                prop_assert!(crowded || gap >= 83, "{:?}", pair);
                let length = pair[0].end - pair[0].start;
                let needed = reading_time(columns(&pair[0].text.replace('\n', "")), &options.limits).clamp(833, 7_000);
                prop_assert!(crowded || length >= needed || gap == 83, "{:?}", pair);
            }
        }

        #[test]
        fn accepts_any_times(times in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20)) {
            let words: Vec<Word> = times.iter().map(|&(start, end)| Word { word: " word".into(), start, end, probability: 0.0, speaker: None }).collect();
            let cues = cues(&of_words(words), &ExportOptions::default());
            prop_assert!(cues.iter().all(|cue| cue.start < cue.end));
            prop_assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    #[test]
    fn lays_out_ten_hours() {
        let words: Vec<String> =
            (0..100_000).map(|i| format!(" w{}{}", i % 7, if i % 9 == 0 { "." } else { "" })).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let transcript = transcript(&[("", &words)]);
        // In quadratic time this test would never end.
        let cues = cues(&transcript, &ExportOptions::default());
        let found = CueQuality::of(&cues, &ExportOptions::default());
        assert_eq!((found.overlaps, found.long_lines, found.too_long, found.empty), (0, 0, 0, 0));
        assert!(found.score > 90.0, "{found:?}");
    }
}
