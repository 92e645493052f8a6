//! Splits the units of a cue into lines of similar length.

use std::ops::Range;

use super::units::Unit;

/// The cost of lines of different length, by the square of the difference relative to the line width.
const UNEVEN: f64 = 20.0;
/// The weight of a break between lines relative to one between cues.
const LINE_BREAK: f64 = 0.7;

/// The size limits of a cue.
#[derive(Debug, Clone, Copy)]
pub struct CueSize {
    /// Columns per line.
    pub width: usize,
    pub lines: usize,
    /// Words per line.
    pub words: usize,
}

/// Lines filled greedily one after the other, which yields the fewest possible lines.
#[derive(Debug, Default, Clone, Copy)]
pub struct LineFill {
    pub lines: usize,
    pub width: usize,
    words: usize,
    /// The columns before the first unit.
    label: usize,
}

impl LineFill {
    /// Returns lines whose first begins with a label of this width.
    pub fn labelled(label: usize) -> Self {
        Self { label, ..Self::default() }
    }

    pub fn add(&mut self, unit: &Unit, size: CueSize) {
        let width = self.width + unit.width + usize::from(unit.spaced);
        if self.lines > 0 && width <= size.width && self.words < size.words {
            self.width = width;
            self.words += 1;
        } else {
            self.lines += 1;
            self.width = std::mem::take(&mut self.label) + unit.width;
            self.words = 1;
        }
    }
}

/// Splits the units of a cue into as few lines as they fit in, of about the same length and broken where it costs least.
/// `costs` are the costs of a break after each unit; `label` is the width of what comes before the first.
pub fn split(units: &[Unit], costs: &[f64], size: CueSize, label: usize) -> Vec<Range<usize>> {
    let mut fill = LineFill::labelled(label);
    units.iter().for_each(|unit| fill.add(unit, size));
    let count = fill.lines;
    if count < 2 {
        return std::iter::once(0..units.len()).collect();
    }
    let total: usize = label + units.iter().map(|unit| unit.width + usize::from(unit.spaced)).sum::<usize>();
    let even = total as f64 / count as f64;
    // `best[line][to]`: the lowest cost of the first `to` units in `line` lines, and where the last line starts.
    let mut best = vec![vec![(f64::INFINITY, 0); units.len() + 1]; count + 1];
    best[0][0].0 = 0.0;
    for line in 1..=count {
        for from in 0..units.len() {
            let (so_far, _) = best[line - 1][from];
            if so_far.is_infinite() {
                continue;
            }
            let mut fill = LineFill::labelled(if from == 0 { label } else { 0 });
            for to in from..units.len() {
                fill.add(&units[to], size);
                if fill.lines > 1 {
                    break;
                }
                let uneven = (fill.width as f64 - even) / size.width as f64;
                let line_break = if to + 1 < units.len() { costs[to] * LINE_BREAK } else { 0.0 };
                let cost = so_far + uneven * uneven * UNEVEN + line_break;
                if cost < best[line][to + 1].0 {
                    best[line][to + 1] = (cost, from);
                }
            }
        }
    }
    let mut ranges = Vec::new();
    let mut to = units.len();
    for line in (1..=count).rev() {
        let (_, from) = best[line][to];
        ranges.push(from..to);
        to = from;
    }
    ranges.reverse();
    ranges
}
