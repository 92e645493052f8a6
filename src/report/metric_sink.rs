//! What takes in metrics, in whichever format they are passed on.

/// Labels, and a value.
pub type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

/// Takes in metrics. All names get the prefix `transcribe_`.
pub trait MetricSink {
    /// Adds figures that only grow.
    fn counter(&mut self, name: &str, help: &str, samples: &[Sample<'_>]);

    /// Adds figures that go up and down.
    fn gauge(&mut self, name: &str, help: &str, samples: &[Sample<'_>]);

    /// Adds a histogram; `buckets` are upper bounds with the number of values up to each.
    fn histogram(&mut self, name: &str, help: &str, buckets: &[(f64, u64)], sum: f64, count: u64);
}
