//! How fast it goes, as indicatif estimates it: what was slow an hour ago counts no longer.

use indicatif::{ProgressBar, ProgressDrawTarget};

/// A bar counts whole steps.
const STEPS: f64 = 100.0;

/// A bar that is never drawn.
pub struct Pace(ProgressBar);

impl Default for Pace {
    fn default() -> Self {
        Self(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()))
    }
}

impl Pace {
    /// So much is done by now.
    pub fn reach(&self, done: f64) {
        self.0.set_position((done.max(0.0) * STEPS) as u64);
    }

    /// None while it cannot be told.
    pub fn per_second(&self) -> Option<f64> {
        let pace = self.0.per_sec() / STEPS;
        (pace.is_finite() && pace > 0.0).then_some(pace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_steady_pace_is_found() {
        let pace = Pace::default();
        assert_eq!(pace.per_second(), None);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(400) {
            pace.reach(start.elapsed().as_secs_f64() * 50.0);
            std::thread::sleep(Duration::from_millis(2));
        }
        let found = pace.per_second().unwrap();
        assert!((10.0..90.0).contains(&found), "{found}");
    }
}
