//! Error rates of an alignment as jiwer defines them.

use std::ops::AddAssign;

use super::edit_distance::EditOp;

/// Counts of words or characters by operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorCounts {
    pub hits: u64,
    pub substitutions: u64,
    pub insertions: u64,
    pub deletions: u64,
}

impl ErrorCounts {
    pub fn of(ops: &[EditOp]) -> Self {
        let mut counts = Self::default();
        for op in ops {
            *match op {
                EditOp::Hit => &mut counts.hits,
                EditOp::Substitution => &mut counts.substitutions,
                EditOp::Insertion => &mut counts.insertions,
                EditOp::Deletion => &mut counts.deletions,
            } += 1;
        }
        counts
    }

    /// Returns the number of errors.
    pub fn errors(&self) -> u64 {
        self.substitutions + self.insertions + self.deletions
    }

    /// Returns the length of the reference.
    pub fn reference(&self) -> u64 {
        self.hits + self.substitutions + self.deletions
    }

    /// Returns the length of the hypothesis.
    pub fn hypothesis(&self) -> u64 {
        self.hits + self.substitutions + self.insertions
    }

    /// Returns the errors per reference word (WER) or character (CER). With an empty reference, returns the number of
    /// insertions.
    pub fn error_rate(&self) -> f64 {
        match self.reference() {
            0 => self.insertions as f64,
            reference => self.errors() as f64 / reference as f64,
        }
    }

    /// Returns the match error rate (MER): the fraction of all operations that are errors.
    pub fn match_error_rate(&self) -> f64 {
        match self.hits + self.errors() {
            0 => 0.0,
            all => self.errors() as f64 / all as f64,
        }
    }

    /// Returns the word information lost (WIL).
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
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.substitutions += other.substitutions;
        self.insertions += other.insertions;
        self.deletions += other.deletions;
    }
}
