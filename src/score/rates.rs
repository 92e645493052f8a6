//! Error rates of an alignment, as jiwer defines them.

use std::ops::AddAssign;

use super::edit_distance::EditOp;

/// How many words or characters went which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounts {
    pub hits: u64,
    pub substitutions: u64,
    pub insertions: u64,
    pub deletions: u64,
}

impl ErrorCounts {
    pub fn of(steps: &[EditOp]) -> Self {
        let mut counts = Self::default();
        for step in steps {
            *match step {
                EditOp::Hit => &mut counts.hits,
                EditOp::Substitution => &mut counts.substitutions,
                EditOp::Insertion => &mut counts.insertions,
                EditOp::Deletion => &mut counts.deletions,
            } += 1;
        }
        counts
    }

    pub fn errors(&self) -> u64 {
        self.substitutions + self.insertions + self.deletions
    }

    /// Length of the reference.
    pub fn reference(&self) -> u64 {
        self.hits + self.substitutions + self.deletions
    }

    pub fn hypothesis(&self) -> u64 {
        self.hits + self.substitutions + self.insertions
    }

    /// Errors per piece of the reference: WER of words, CER of characters. What is said in silence counts whole.
    pub fn error_rate(&self) -> f64 {
        match self.reference() {
            0 => self.insertions as f64,
            reference => self.errors() as f64 / reference as f64,
        }
    }

    /// MER: the part of all that is wrong.
    pub fn match_error_rate(&self) -> f64 {
        match self.hits + self.errors() {
            0 => 0.0,
            all => self.errors() as f64 / all as f64,
        }
    }

    /// WIL: how much of what both say is not in the other.
    pub fn information_lost(&self) -> f64 {
        let hits = self.hits as f64;
        match (self.reference(), self.hypothesis()) {
            (0, 0) => 0.0,
            (0, _) | (_, 0) => 1.0,
            (reference, hypothesis) => 1.0 - (hits / reference as f64) * (hits / hypothesis as f64),
        }
    }
}

impl AddAssign for ErrorCounts {
    fn add_assign(&mut self, more: Self) {
        self.hits += more.hits;
        self.substitutions += more.substitutions;
        self.insertions += more.insertions;
        self.deletions += more.deletions;
    }
}
