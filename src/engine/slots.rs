//! The backend's sequence slots: one belongs to each window slot, the rest form a pool for attempts that need several.

/// Free sequence slots that belong to no window slot.
#[derive(Debug)]
pub struct SequencePool {
    free: Vec<usize>,
}

impl SequencePool {
    /// Creates the pool of a backend: of `sequences` slots the first `windows` belong to the window slots.
    pub fn new(windows: usize, sequences: usize) -> Self {
        SequencePool { free: (windows..sequences).rev().collect() }
    }

    pub fn take(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// Takes `count` slots, or none at all.
    pub fn take_many(&mut self, count: usize) -> Option<Vec<usize>> {
        let left = self.free.len().checked_sub(count)?;
        Some(self.free.split_off(left))
    }

    pub fn put_back(&mut self, slot: usize) {
        self.free.push(slot);
    }
}
