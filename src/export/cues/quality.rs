//! How well cues can be read, as numbers.

use serde::Serialize;

use super::Cue;
use super::units::columns;
use crate::export::options::Shape;
use crate::export::python;

/// How many cues break which rule, and a mark for all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CueQuality {
    pub cues: usize,
    /// They have no text, or vanish before they appear.
    pub empty: usize,
    /// They begin before an earlier one has ended.
    pub overlaps: usize,
    /// A line has more columns than it should.
    pub long_lines: usize,
    pub too_many_lines: usize,
    /// Nobody reads them in the time they are shown.
    pub too_fast: usize,
    pub too_short: usize,
    pub too_long: usize,
    /// They follow too closely, but do not overlap.
    pub small_gaps: usize,
    /// From 0 to 100, which means that no cue breaks a rule. Each cue loses a part of its share for every rule that
    /// it breaks: all of it if it is empty, half for an overlap, 0.3 for lines or speed, 0.2 for its length and
    /// 0.1 for the gap before it.
    pub score: f64,
}

/// Looks at cues in the order in which they are shown.
pub fn quality(cues: &[Cue], shape: &Shape) -> CueQuality {
    let mut found = CueQuality { cues: cues.len(), ..CueQuality::default() };
    let mut lost = 0.0;
    let mut ended = None::<i64>;
    for cue in cues {
        lost += look_at(cue, ended, shape, &mut found).min(1.0);
        ended = ended.max(Some(cue.end));
    }
    let share = if cues.is_empty() { 0.0 } else { lost / cues.len() as f64 };
    found.score = ((1.0 - share) * 1000.0).round() / 10.0;
    found
}

/// Counts what is wrong with one cue, and says how much of its share it loses.
fn look_at(cue: &Cue, ended: Option<i64>, shape: &Shape, found: &mut CueQuality) -> f64 {
    let limits = &shape.limits;
    let lines: Vec<usize> = cue.text.lines().map(|line| columns(python::strip(line))).collect();
    let all: usize = lines.iter().sum::<usize>() + lines.len().saturating_sub(1);
    let length = cue.end - cue.start;
    let gap = ended.map_or(i64::MAX, |ended| cue.start - ended);
    let empty = length <= 0 || all == 0;
    // A millisecond is what rounding may take.
    let speed_limit = limits.max_speed * (length + 1) as f64 / 1000.0;
    let rules = [
        (empty, 1.0, &mut found.empty),
        (gap < 0, 0.5, &mut found.overlaps),
        (lines.iter().any(|line| *line > shape.line_width()), 0.3, &mut found.long_lines),
        (lines.len() > shape.line_count(), 0.3, &mut found.too_many_lines),
        (!empty && all as f64 > speed_limit, 0.3, &mut found.too_fast),
        (!empty && length + 1 < limits.min_duration, 0.2, &mut found.too_short),
        (length > limits.max_duration + 1, 0.2, &mut found.too_long),
        ((0..limits.min_gap - 1).contains(&gap), 0.1, &mut found.small_gaps),
    ];
    let mut lost = 0.0;
    for (broken, weight, count) in rules {
        if broken {
            *count += 1;
            lost += weight;
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_counted() {
        let long = "x".repeat(43);
        let cues = [
            Cue::plain(0, 2_000, "Fine."),
            Cue::plain(1_900, 4_000, "Overlapping."),
            Cue::plain(4_010, 7_000, "Close."),
            Cue::plain(8_000, 12_000, &*long),
            Cue::plain(13_000, 16_000, "a\nb\nc"),
            Cue::plain(17_000, 18_000, "More than seventeen letters a second."),
            Cue::plain(19_000, 19_500, "Short."),
            Cue::plain(20_000, 28_000, "Long."),
            Cue::plain(30_000, 31_000, " "),
            Cue::plain(33_000, 33_000, "Never seen."),
        ];
        let found = quality(&cues, &Shape::default());
        let expected = CueQuality {
            cues: 10,
            empty: 2,
            overlaps: 1,
            long_lines: 1,
            too_many_lines: 1,
            too_fast: 1,
            too_short: 1,
            too_long: 1,
            small_gaps: 1,
            score: 61.0,
        };
        assert_eq!(found, expected);
        assert_eq!(quality(&[], &Shape::default()).score, 100.0);
    }
}
