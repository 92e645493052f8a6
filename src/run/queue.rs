//! Who goes next: inputs that wait for their start, and the choice among them.

use super::models::Which;
use crate::plan::PlannedInput;

/// One input before its start.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its place in the order that was given.
    pub index: usize,
    pub item: PlannedInput,
    pub model: Which,
}

/// Inputs in the order of their start.
#[derive(Debug, Default)]
pub struct Queue {
    /// Backwards: the next one is the last.
    waiting: Vec<Waiting>,
}

impl Queue {
    /// In the given order, or the longest first, so that none is left over alone at the end.
    pub fn new(mut waiting: Vec<Waiting>, in_order: bool) -> Self {
        if !in_order {
            let length = |waiting: &Waiting| waiting.item.length.unwrap_or(0.0);
            waiting.sort_by(|a, b| length(b).total_cmp(&length(a)));
        }
        waiting.reverse();
        Self { waiting }
    }

    /// Comes behind all others.
    pub fn add(&mut self, waiting: Waiting) {
        self.waiting.insert(0, waiting);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The first one for whose model there is room: better another input than another model.
    pub fn take(&mut self, room: impl Fn(Which) -> bool) -> Option<Waiting> {
        let next = self.waiting.iter().rposition(|waiting| room(waiting.model))?;
        Some(self.waiting.remove(next))
    }

    /// It could not be started yet, and comes first again.
    pub fn put_back(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }
}
