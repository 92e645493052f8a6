//! Which words share a line.

use std::ops::Range;

use super::units::Unit;

/// Of how much one side of a break may be longer before a reader minds.
const UNEVEN: f64 = 20.0;
/// A break between lines matters less than one between cues.
const BREAK: f64 = 0.7;

/// The greatest lines.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub width: usize,
    pub lines: usize,
    pub words: usize,
}

/// Lines that are filled one after the other: no other way needs fewer.
#[derive(Debug, Default, Clone, Copy)]
pub struct Filled {
    pub lines: usize,
    pub width: usize,
    words: usize,
}

impl Filled {
    pub fn add(&mut self, unit: &Unit, room: Room) {
        let longer = self.width + unit.width + usize::from(unit.spaced);
        if self.lines > 0 && longer <= room.width && self.words < room.words {
            self.width = longer;
            self.words += 1;
        } else {
            self.lines += 1;
            self.width = unit.width;
            self.words = 1;
        }
    }
}

/// The units of a cue in as few lines as they fit in, of about the same length, broken where it is minded least.
/// `costs` are those of a break behind each unit.
pub fn split(units: &[Unit], costs: &[f64], room: Room) -> Vec<Range<usize>> {
    let mut filled = Filled::default();
    units.iter().for_each(|unit| filled.add(unit, room));
    let count = filled.lines;
    if count < 2 {
        return std::iter::once(0..units.len()).collect();
    }
    let all: usize = units.iter().map(|unit| unit.width + usize::from(unit.spaced)).sum();
    let even = all as f64 / count as f64;
    // The best way to have the first units in so many lines, and where its last line begins.
    let mut best = vec![vec![(f64::INFINITY, 0); units.len() + 1]; count + 1];
    best[0][0].0 = 0.0;
    for line in 1..=count {
        for from in 0..units.len() {
            let (so_far, _) = best[line - 1][from];
            if so_far.is_infinite() {
                continue;
            }
            let mut filled = Filled::default();
            for to in from..units.len() {
                filled.add(&units[to], room);
                if filled.lines > 1 {
                    break;
                }
                let uneven = (filled.width as f64 - even) / room.width as f64;
                let cut = if to + 1 < units.len() { costs[to] * BREAK } else { 0.0 };
                let cost = so_far + uneven * uneven * UNEVEN + cut;
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
