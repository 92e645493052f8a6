//! Sets of moments as sorted intervals that neither overlap nor touch.

/// TimeSet of seconds in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TimeSet(Vec<(f64, f64)>);

impl TimeSet {
    /// Joins what overlaps or touches; drops what has no length or no finite times.
    pub fn new(spans: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let is_usable = |(start, end): &(f64, f64)| start.is_finite() && end.is_finite() && start < end;
        let mut spans: Vec<(f64, f64)> = spans.into_iter().filter(is_usable).collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64)> = Vec::with_capacity(spans.len());
        for (start, end) in spans {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        TimeSet(joined)
    }

    pub fn iter(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.0.iter().copied()
    }

    /// Returns the sum of all lengths.
    pub fn seconds(&self) -> f64 {
        self.iter().map(|(start, end)| end - start).sum()
    }

    /// Returns what is not in the other set.
    pub fn without(&self, other: &TimeSet) -> TimeSet {
        let mut left = Vec::with_capacity(self.0.len());
        let mut first = 0;
        for (start, end) in self.iter() {
            while other.0.get(first).is_some_and(|hole| hole.1 <= start) {
                first += 1;
            }
            let mut at = start;
            for hole in other.0[first..].iter().take_while(|hole| hole.0 < end) {
                if at < hole.0 {
                    left.push((at, hole.0));
                }
                at = hole.1;
            }
            if at < end {
                left.push((at, end));
            }
        }
        TimeSet(left)
    }

    /// Returns the seconds that are in both sets.
    pub fn seconds_shared(&self, other: &TimeSet) -> f64 {
        let (mut a, mut b, mut seconds) = (0, 0, 0.0);
        while let (Some(left), Some(right)) = (self.0.get(a), other.0.get(b)) {
            seconds += (left.1.min(right.1) - left.0.max(right.0)).max(0.0);
            if left.1 <= right.1 {
                a += 1;
            } else {
                b += 1;
            }
        }
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_cuts_and_intersects() {
        let set = TimeSet::new([(5.0, 6.0), (0.0, 2.0), (1.0, 3.0), (3.0, 4.0), (7.0, 7.0), (f64::NAN, 9.0)]);
        assert_eq!(set, TimeSet(vec![(0.0, 4.0), (5.0, 6.0)]));
        assert_eq!(set.seconds(), 5.0);
        let holes = TimeSet::new([(-1.0, 0.5), (1.0, 1.5), (3.5, 5.25), (5.5, 9.0)]);
        assert_eq!(set.without(&holes), TimeSet(vec![(0.5, 1.0), (1.5, 3.5), (5.25, 5.5)]));
        assert_eq!(set.seconds_shared(&holes), 0.5 + 0.5 + 0.5 + 0.25 + 0.5);
        assert_eq!(set.without(&set), TimeSet::default());
        assert_eq!(set.seconds_shared(&TimeSet::default()), 0.0);
    }
}
