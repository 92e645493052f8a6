//! How readable cues are, as numbers.

use serde::Serialize;

use super::Cue;
use super::units::columns;
use crate::export::options::ExportOptions;
use crate::export::python;

/// How many cues break which rule, and a score for all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CueQuality {
    pub cues: usize,
    /// Cues without text or without duration.
    pub empty: usize,
    /// Cues that start before an earlier one has ended.
    pub overlaps: usize,
    /// Cues with a line of too many columns.
    pub long_lines: usize,
    pub too_many_lines: usize,
    /// Cues with more text than can be read while they are shown.
    pub too_fast: usize,
    pub too_short: usize,
    pub too_long: usize,
    /// Cues that follow the one before too closely without overlapping it.
    pub small_gaps: usize,
    /// The score from 0 to 100, which means that no cue breaks a rule. Each cue loses a part of its share for every rule
    /// that it breaks: all of it if it is empty, half for an overlap, 0.3 for lines or speed, 0.2 for its duration and
    /// 0.1 for the gap before it.
    pub score: f64,
}

impl CueQuality {
    /// Checks cues in the order in which they are shown.
    pub fn of(cues: &[Cue], options: &ExportOptions) -> Self {
        let mut found = Self { cues: cues.len(), ..Self::default() };
        let mut lost = 0.0;
        let mut last_end = None::<i64>;
        for cue in cues {
            lost += found.check(cue, last_end, options).min(1.0);
            last_end = last_end.max(Some(cue.end));
        }
        let share = if cues.is_empty() { 0.0 } else { lost / cues.len() as f64 };
        found.score = ((1.0 - share) * 1000.0).round() / 10.0;
        found
    }

    /// Counts the rules that a cue breaks and returns how much of its share it loses.
    fn check(&mut self, cue: &Cue, last_end: Option<i64>, options: &ExportOptions) -> f64 {
        let limits = &options.limits;
        let lines: Vec<usize> =
            cue.labelled_text().lines().map(|line| columns(python::strip(line))).collect();
        let all_columns: usize = lines.iter().sum::<usize>() + lines.len().saturating_sub(1);
        let duration = cue.end - cue.start;
        let gap = last_end.map_or(i64::MAX, |end| cue.start - end);
        let empty = duration <= 0 || all_columns == 0;
        // Rounding may take a millisecond.
        let speed_limit = limits.max_speed * (duration + 1) as f64 / 1000.0;
        let rules = [
            (empty, 1.0, &mut self.empty),
            (gap < 0, 0.5, &mut self.overlaps),
            (lines.iter().any(|line| *line > options.line_width()), 0.3, &mut self.long_lines),
            (lines.len() > options.line_count(), 0.3, &mut self.too_many_lines),
            (!empty && all_columns as f64 > speed_limit, 0.3, &mut self.too_fast),
            (!empty && duration + 1 < limits.min_duration, 0.2, &mut self.too_short),
            (duration > limits.max_duration + 1, 0.2, &mut self.too_long),
            ((0..limits.min_gap - 1).contains(&gap), 0.1, &mut self.small_gaps),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_broken_rule() {
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
            Cue::plain(33_000, 33_000, "Never shown."),
        ];
        let found = CueQuality::of(&cues, &ExportOptions::default());
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
        assert_eq!(CueQuality::of(&[], &ExportOptions::default()).score, 100.0);
    }
}
