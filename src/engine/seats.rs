//! The sequence slots of a backend: one belongs to each window slot, the rest go to who needs several.

/// Seats that belong to no window.
#[derive(Debug)]
pub struct Seats {
    free: Vec<usize>,
}

impl Seats {
    pub fn new(windows: usize, sequences: usize) -> Self {
        Seats { free: (windows..sequences).rev().collect() }
    }

    pub fn take(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// So many, or none at all.
    pub fn take_many(&mut self, count: usize) -> Option<Vec<usize>> {
        let left = self.free.len().checked_sub(count)?;
        Some(self.free.split_off(left))
    }

    pub fn give_back(&mut self, seat: usize) {
        self.free.push(seat);
    }
}
