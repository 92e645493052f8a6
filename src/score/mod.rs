//! Transcripts compared: how many words and characters differ, and by how much the times are off.

mod align;
mod gates;
mod junit;
pub mod normalise;
mod pairs;
mod rates;
mod report;
mod timing;

pub use align::{Step, align};
pub use gates::{Gate, Gates, Verdict};
pub use junit::junit;
pub use normalise::Normaliser;
pub use pairs::{Pair, pairs};
pub use rates::Counts;
pub use report::{Outcome, report};
pub use timing::{Figures, Level, Timing};

use crate::import::Imported;

/// How one transcript, or several together, differ from the truth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Score {
    pub words: Counts,
    pub characters: Counts,
    /// The finest level first; none without times on both sides.
    pub timings: Vec<Timing>,
}

/// A reference and a hypothesis word by word.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Aligned {
    pub reference: Vec<String>,
    pub hypothesis: Vec<String>,
    pub steps: Vec<Step>,
}

/// Compares what was said, and when.
pub fn score(reference: &Imported, hypothesis: &Imported, normaliser: &Normaliser) -> (Score, Aligned) {
    let (said, heard) = (normaliser.words(&reference.text), normaliser.words(&hypothesis.text));
    let (characters, aligned) = rayon::join(
        || {
            let [said, heard] = [&said, &heard].map(|text| text.chars().collect::<Vec<char>>());
            Counts::of(&align(&said, &heard))
        },
        || {
            let [said, heard] = [&said, &heard].map(|text| text.split_whitespace().collect::<Vec<&str>>());
            let steps = align(&said, &heard);
            let [reference, hypothesis] =
                [said, heard].map(|words| words.into_iter().map(str::to_owned).collect());
            Aligned { reference, hypothesis, steps }
        },
    );
    let timings = timing::compare(reference, hypothesis, normaliser);
    (Score { words: Counts::of(&aligned.steps), characters, timings }, aligned)
}

impl Score {
    /// Both together, each word and each time counting as much as any other.
    pub fn add(&mut self, more: &Score) {
        self.words += more.words;
        self.characters += more.characters;
        for timing in &more.timings {
            match self.timings.iter_mut().find(|known| known.level == timing.level) {
                Some(known) => known.add(timing),
                None => self.timings.push(timing.clone()),
            }
        }
        self.timings.sort_by_key(|timing| timing.level);
    }
}

#[cfg(test)]
mod tests;
