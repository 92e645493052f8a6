//! Cues for people: of few and even lines, broken where a reader would pause, shown long enough to be read.
//!
//! Where cues end is found by dynamic programming over the words: of all ways the one that costs least. Its memory
//! grows with the words, its time with the words and how many of them fit into one cue.

use super::breaks::{self, Language, ends_sentence};
use super::lines::{Filled, Room, split};
use super::timing::{Wish, place};
use super::units::{Unit, columns, units};
use super::{Cue, CueWord};
use crate::export::options::{Limits, Shape};
use crate::transcript::Transcript;

/// What every cue costs: fewer are better.
const CUE: f64 = 4.0;
/// What a full cue costs more than an empty one, by the square of the filling: even cues are better.
const FILLING: f64 = 4.0;
/// What it costs that a sentence ends inside.
const SENTENCE_INSIDE: f64 = 3.0;
/// What it costs that no time is left to read.
const UNREADABLE: f64 = 40.0;
/// Silence inside a cue, in milliseconds: unnoticed, per second more, and never.
const PAUSE_FREE: i64 = 500;
const PAUSE: f64 = 8.0;
const PAUSE_MAX: i64 = 2_000;
/// A word is heard in this time, even if its end was put behind a pause.
const LONG_WORD: i64 = 1_000;
/// No cue of more units is tried, whatever the limits are.
const MOST_UNITS: usize = 400;

pub fn cues(transcript: &Transcript, shape: &Shape) -> Vec<Cue> {
    let room = Room {
        width: shape.line_width().max(1),
        lines: shape.line_count().max(1),
        words: shape.max_words_per_line.unwrap_or(usize::MAX).max(1),
    };
    let units = units(transcript, room.width);
    let language = Language::new(&transcript.language);
    let costs: Vec<f64> = units.windows(2).map(|pair| breaks::cost(&pair[0], &pair[1], language)).collect();
    let ends = choose(&units, &costs, room, &shape.limits);
    let mut start = 0;
    let mut found = Vec::with_capacity(ends.len());
    for end in ends {
        let inside = &costs[start..(end - 1).max(start)];
        found.push((start..end, text(&units[start..end], inside, room)));
        start = end;
    }
    let wishes = found.iter().map(|(range, text)| wish(&units[range.clone()], text)).collect::<Vec<_>>();
    let places = place(&wishes, &shape.limits);
    found.into_iter().zip(places).map(|((_, words), (start, end))| shown(words, start, end)).collect()
}

/// Behind which units the cues end.
fn choose(units: &[Unit], costs: &[f64], room: Room, limits: &Limits) -> Vec<usize> {
    // The best way to have the first units in cues, and where its last cue begins.
    let mut best = vec![(f64::INFINITY, 0); units.len() + 1];
    best[0].0 = 0.0;
    for from in 0..units.len() {
        let so_far = best[from].0;
        let mut draft = Draft::default();
        for to in from..units.len().min(from + MOST_UNITS) {
            draft.add(&units[from..=to], room);
            if to > from && !draft.holds(&units[from..=to], room, limits) {
                break;
            }
            let next = units.get(to + 1).map(|next| next.start);
            let cut = costs.get(to).copied().unwrap_or(0.0);
            let cost = so_far + cut + draft.cost(units[from].start, next, room, limits);
            if cost < best[to + 1].0 {
                best[to + 1] = (cost, from);
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

/// A cue that is considered.
#[derive(Default)]
struct Draft {
    filled: Filled,
    /// Columns of all lines.
    width: usize,
    /// The longest silence between two of its words.
    pause: i64,
    inside: f64,
}

impl Draft {
    /// The last of these units is new.
    fn add(&mut self, units: &[Unit], room: Room) {
        let [.., unit] = units else { return };
        self.filled.add(unit, room);
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

    fn holds(&self, units: &[Unit], room: Room, limits: &Limits) -> bool {
        let [first, .., last] = units else { return true };
        let heard = last.end.min(last.start + LONG_WORD) - first.start;
        self.filled.lines <= room.lines && heard <= limits.max_duration && self.pause <= PAUSE_MAX
    }

    fn cost(&self, start: i64, next: Option<i64>, room: Room, limits: &Limits) -> f64 {
        let left = next.map_or(i64::MAX, |next| next - limits.min_gap - start).min(limits.max_duration);
        let needed = reading_time(self.width, limits).max(limits.min_duration).max(1);
        let missing = (needed - left).clamp(0, needed) as f64 / needed as f64;
        let filling = self.width as f64 / (room.width * room.lines) as f64;
        CUE + self.inside + missing * UNREADABLE + filling * filling * FILLING
    }
}

/// Milliseconds that so many columns take a reader.
pub fn reading_time(columns: usize, limits: &Limits) -> i64 {
    (columns as f64 * 1000.0 / limits.max_speed).ceil() as i64
}

/// The words of a cue, with the blanks and line feeds between them.
fn text(units: &[Unit], costs: &[f64], room: Room) -> Vec<CueWord> {
    let mut words = Vec::with_capacity(units.len());
    for (nth, line) in split(units, costs, room).into_iter().enumerate() {
        for (at, unit) in units[line].iter().enumerate() {
            let before = match (nth, at) {
                (0, 0) => "",
                (_, 0) => "\n",
                _ if unit.spaced => " ",
                _ => "",
            };
            words.push(CueWord { start: unit.start, end: unit.end, text: format!("{before}{}", unit.text) });
        }
    }
    words
}

fn wish(units: &[Unit], words: &[CueWord]) -> Wish {
    let columns = words.iter().map(|word| columns(word.text.trim_start_matches('\n'))).sum();
    let start = units.first().map_or(0, |unit| unit.start);
    let end = units.iter().map(|unit| unit.end).max().unwrap_or(start);
    Wish { start, end, columns }
}

/// Words lie inside their cue.
fn shown(mut words: Vec<CueWord>, start: i64, end: i64) -> Cue {
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
    use crate::export::cues::quality;
    use crate::transcript::{Segment, Word};

    /// Segments of words of a quarter of a second; without words, the text takes a second.
    pub fn transcript(segments: &[(&str, &[&str])]) -> Transcript {
        let mut now = 0.0;
        let mut made = Vec::new();
        for (id, (text, words)) in segments.iter().enumerate() {
            let start = now;
            let word = |word: &&str| {
                now += 0.25;
                Word { word: (*word).into(), start: now - 0.25, end: now, probability: 0.5 }
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

    /// The texts of the cues of words that are spoken one after the other.
    fn shown(words: &str) -> Vec<String> {
        let words: Vec<String> = words.split(' ').map(|word| format!(" {word}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cues(&transcript(&[("", &words)]), &Shape::default()).into_iter().map(|cue| cue.text).collect()
    }

    #[test]
    fn breaks_are_where_a_reader_pauses() {
        assert_eq!(shown("Open the door now."), ["Open the door now."]);
        assert_eq!(
            shown("When the old man came home, the lights were already out and nobody said a word."),
            ["When the old man came home, the lights\nwere already out and nobody said a word."]
        );
        assert_eq!(
            shown("I have never seen anything like that before. It was the largest ship of them all."),
            ["I have never seen anything like\nthat before.", "It was the largest ship of them all."]
        );
    }

    prop_compose! {
        fn words()(
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
                Word { word, start, end: now, probability: 1.0 }
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
        fn every_limit_that_can_hold_holds(words in words(), width in 5..50_usize, count in 1..4_usize, per_line in 1..9_usize) {
            let said: String = words.iter().map(|word| word.word.as_str()).collect();
            let shape = Shape {
                max_line_width: Some(width),
                max_line_count: Some(count),
                max_words_per_line: (per_line < 8).then_some(per_line),
                ..Shape::default()
            };
            let cues = cues(&of_words(words), &shape);
            let shown: String = cues.iter().map(|cue| cue.text.as_str()).collect();
            prop_assert_eq!(letters(&shown), letters(&said));
            for cue in &cues {
                prop_assert!(cue.start < cue.end && cue.end - cue.start <= 7_000, "{:?}", cue);
                prop_assert!(!cue.text.trim().is_empty() && cue.text.lines().count() <= count);
                for line in cue.text.lines() {
                    // Only a word that cannot be broken is longer.
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
                // The next word left no room, or there is a gap, and time to read is used up to it.
                let crowded = pair[1].start - pair[0].start < 183;
                prop_assert!(crowded || gap >= 83, "{:?}", pair);
                let length = pair[0].end - pair[0].start;
                let needed = reading_time(columns(&pair[0].text.replace('\n', "")), &shape.limits).clamp(833, 7_000);
                prop_assert!(crowded || length >= needed || gap == 83, "{:?}", pair);
            }
        }

        #[test]
        fn no_times_are_too_strange(times in prop::collection::vec((any::<f64>(), any::<f64>()), 0..20)) {
            let words: Vec<Word> = times.iter().map(|&(start, end)| Word { word: " word".into(), start, end, probability: 0.0 }).collect();
            let cues = cues(&of_words(words), &Shape::default());
            prop_assert!(cues.iter().all(|cue| cue.start < cue.end));
            prop_assert!(cues.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }

    #[test]
    fn ten_hours_take_no_time() {
        let words: Vec<String> =
            (0..100_000).map(|i| format!(" w{}{}", i % 7, if i % 9 == 0 { "." } else { "" })).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let transcript = transcript(&[("", &words)]);
        let started = std::time::Instant::now();
        let cues = cues(&transcript, &Shape::default());
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        let found = quality(&cues, &Shape::default());
        assert_eq!((found.overlaps, found.long_lines, found.too_long, found.empty), (0, 0, 0, 0));
        assert!(found.score > 90.0, "{found:?}");
    }
}
