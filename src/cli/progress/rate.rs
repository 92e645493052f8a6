//! The rate of progress: an exponentially weighted average, so that what was slow an hour ago no longer counts.

use std::time::Instant;

/// The seconds after which a rate has a tenth of its weight, as in indicatif.
const DECAY: f64 = 15.0;

/// Estimates how fast a quantity grows.
#[derive(Debug, Clone, Copy)]
pub struct RateEstimator {
    start: Instant,
    last: Instant,
    done: f64,
    /// The weighted average since the start, as if the rate had been zero before.
    smoothed: f64,
}

impl RateEstimator {
    /// Starts with what is already done, which does not count.
    pub fn new(done: f64, now: Instant) -> Self {
        Self { start: now, last: now, done, smoothed: 0.0 }
    }

    /// Records what is done by now; starts over if that has become less.
    pub fn record(&mut self, done: f64, now: Instant) {
        let (added, elapsed) = (done - self.done, now.saturating_duration_since(self.last).as_secs_f64());
        if added < 0.0 {
            *self = Self::new(done, now);
        } else if added > 0.0 && elapsed > 0.0 {
            let weight = weight(elapsed);
            self.smoothed = self.smoothed * weight + added / elapsed * (1.0 - weight);
            (self.done, self.last) = (done, now);
        }
    }

    /// Returns the rate per second, or none if it is not known yet.
    pub fn per_second(&self, now: Instant) -> Option<f64> {
        let seconds_since = |then: Instant| now.saturating_duration_since(then).as_secs_f64();
        let recorded = 1.0 - weight(seconds_since(self.start));
        let rate = self.smoothed * weight(seconds_since(self.last)) / recorded;
        (rate.is_finite() && rate > 0.0).then_some(rate)
    }
}

/// Returns the weight of a rate after some seconds.
fn weight(seconds: f64) -> f64 {
    0.1_f64.powf(seconds / DECAY)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Records a steady rate over a time, in steps of a tenth of a second.
    fn advance(rate: &mut RateEstimator, from: Instant, seconds: u32, done: f64, per_second: f64) {
        for tenth in 1..=seconds * 10 {
            let elapsed = f64::from(tenth) / 10.0;
            rate.record(done + elapsed * per_second, from + Duration::from_secs_f64(elapsed));
        }
    }

    #[test]
    fn finds_a_steady_rate_and_adapts_to_a_new_one() {
        let start = Instant::now();
        let mut rate = RateEstimator::new(1_000.0, start);
        assert_eq!(rate.per_second(start), None);
        advance(&mut rate, start, 2, 1_000.0, 50.0);
        let now = start + Duration::from_secs(2);
        assert!((rate.per_second(now).unwrap() - 50.0).abs() < 1e-6);
        advance(&mut rate, now, 60, 1_100.0, 10.0);
        let now = now + Duration::from_secs(60);
        assert!((rate.per_second(now).unwrap() - 10.0).abs() < 0.1);
        // A stall lowers the rate.
        let stalled = rate.per_second(now + Duration::from_secs(15)).unwrap();
        assert!((stalled - 1.0).abs() < 0.1, "{stalled}");
    }

    #[test]
    fn starts_over_if_less_is_done() {
        let start = Instant::now();
        let mut rate = RateEstimator::new(0.0, start);
        advance(&mut rate, start, 1, 0.0, 100.0);
        let now = start + Duration::from_secs(1);
        rate.record(0.0, now);
        assert_eq!(rate.per_second(now + Duration::from_secs(1)), None);
    }
}
