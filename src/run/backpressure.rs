//! Limits how many sections are in memory: a front end that wants to prepare one more waits for a permit.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// How long to wait before asking again whether to stop waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A fixed number of permits, shared by clones.
#[derive(Clone)]
pub struct ChunkBudget {
    free: Receiver<()>,
    returned: Sender<()>,
}

/// Permission to hold one section; returned to the budget when dropped.
pub struct ChunkPermit {
    returned: Sender<()>,
}

impl ChunkBudget {
    pub fn new(permits: usize) -> Self {
        let (returned, free) = bounded(permits);
        (0..permits).for_each(|_| returned.try_send(()).unwrap_or_default());
        Self { free, returned }
    }

    /// Waits for a permit; returns none once `stop` returns true.
    pub fn take(&self, stop: impl Fn() -> bool) -> Option<ChunkPermit> {
        loop {
            if stop() {
                return None;
            }
            if self.free.recv_timeout(POLL_INTERVAL).is_ok() {
                return Some(ChunkPermit { returned: self.returned.clone() });
            }
        }
    }
}

impl Drop for ChunkPermit {
    fn drop(&mut self) {
        // The channel has room, as the permit came from it.
        let _ = self.returned.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn waits_while_all_permits_are_taken() {
        let budget = ChunkBudget::new(2);
        let (one, two) = (budget.take(|| false), budget.take(|| false));
        assert!(one.is_some() && two.is_some());
        let asked = Cell::new(0);
        let stop_after_two = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert!(budget.take(stop_after_two).is_none());
        drop(one);
        assert!(budget.take(|| false).is_some());
    }
}
