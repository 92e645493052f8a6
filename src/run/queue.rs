//! The inputs that wait for their start, and the choice among them.

use super::models::ModelId;
use crate::plan::{InputName, PlannedInput};

/// An input that has not started.
#[derive(Debug, Clone)]
pub struct PendingInput {
    /// Its position in the order that was given.
    pub index: usize,
    pub item: PlannedInput,
    pub model: ModelId,
}

/// Pending inputs in the order of their start.
#[derive(Debug, Default)]
pub struct StartQueue {
    /// Reversed, so that the next one is popped from the end.
    pending: Vec<PendingInput>,
}

impl StartQueue {
    /// Queues in the given order, or the longest first, so that no long input runs alone at the end.
    pub fn new(mut pending: Vec<PendingInput>, in_order: bool) -> Self {
        if !in_order {
            let length = |input: &PendingInput| input.item.length.unwrap_or(0.0);
            pending.sort_by(|a, b| length(b).total_cmp(&length(a)));
        }
        pending.reverse();
        Self { pending }
    }

    pub fn push_last(&mut self, input: PendingInput) {
        self.pending.insert(0, input);
    }

    /// Returns an input that could not be started to the front.
    pub fn push_first(&mut self, input: PendingInput) {
        self.pending.push(input);
    }

    /// Removes an input, if it is still here.
    pub fn remove(&mut self, name: &InputName) -> Option<PendingInput> {
        let at = self.pending.iter().position(|input| input.item.name() == *name)?;
        Some(self.pending.remove(at))
    }

    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Takes the first input whose model has room, since another input is cheaper than another model.
    pub fn take(&mut self, has_room: impl Fn(ModelId) -> bool) -> Option<PendingInput> {
        let next = self.pending.iter().rposition(|input| has_room(input.model))?;
        Some(self.pending.remove(next))
    }
}
