//! Leave to hold a chunk in memory: there are only so many, and who wants one waits.

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// How long to wait before asking again whether to go on waiting.
const PATIENCE: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub struct Permits {
    free: Receiver<()>,
    back: Sender<()>,
}

/// Goes back when it is dropped.
pub struct Permit {
    back: Sender<()>,
}

impl Permits {
    pub fn new(count: usize) -> Self {
        let (back, free) = bounded(count);
        (0..count).for_each(|_| back.try_send(()).unwrap_or_default());
        Self { free, back }
    }

    /// Waits for one; none if `stop` says so first.
    pub fn take(&self, stop: impl Fn() -> bool) -> Option<Permit> {
        loop {
            if stop() {
                return None;
            }
            if self.free.recv_timeout(PATIENCE).is_ok() {
                return Some(Permit { back: self.back.clone() });
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // There is room: it came from there.
        let _ = self.back.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn there_are_only_so_many() {
        let permits = Permits::new(2);
        let (one, two) = (permits.take(|| false), permits.take(|| false));
        assert!(one.is_some() && two.is_some());
        let asked = Cell::new(0);
        let patience = || {
            asked.set(asked.get() + 1);
            asked.get() > 2
        };
        assert!(permits.take(patience).is_none());
        drop(one);
        assert!(permits.take(|| false).is_some());
    }
}
