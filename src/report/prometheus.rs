//! The text format of Prometheus.

use std::fmt::Write;

use super::metric_sink::{MetricSink, Sample};

/// Metrics as text. All names get the prefix `transcribe_`.
#[derive(Default)]
pub struct PrometheusText(String);

impl MetricSink for PrometheusText {
    fn counter(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "counter", help, samples);
    }

    fn gauge(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "gauge", help, samples);
    }

    fn histogram(&mut self, name: &str, help: &str, buckets: &[(f64, u64)], sum: f64, count: u64) {
        self.head(name, "histogram", help);
        for (bound, values) in buckets {
            self.line(&format!("{name}_bucket"), &[("le", &bound.to_string())], *values as f64);
        }
        self.line(&format!("{name}_bucket"), &[("le", "+Inf")], count as f64);
        self.line(&format!("{name}_sum"), &[], sum);
        self.line(&format!("{name}_count"), &[], count as f64);
    }
}

impl PrometheusText {
    /// Adds lines that are complete already.
    pub fn push_lines(&mut self, lines: &str) {
        self.0.push_str(lines);
    }

    pub fn into_string(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
        if samples.is_empty() {
            return;
        }
        self.head(name, kind, help);
        samples.iter().for_each(|(labels, value)| self.line(name, labels, *value));
    }

    // Writing to a string cannot fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP transcribe_{name} {help}\n# TYPE transcribe_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "transcribe_{name}{labels} {value}");
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_prometheus_reads() {
        let mut text = PrometheusText::default();
        text.counter("jobs_total", "Jobs.", &[(&[("name", "a \"b\"\\\n")], 2.0)]);
        text.gauge("nothing", "No samples, no lines.", &[]);
        text.histogram("wait_seconds", "Waits.", &[(0.1, 1), (1.0, 3)], 4.5, 4);
        let expected = "# HELP transcribe_jobs_total Jobs.\n# TYPE transcribe_jobs_total counter\n\
            transcribe_jobs_total{name=\"a \\\"b\\\"\\\\\\n\"} 2\n\
            # HELP transcribe_wait_seconds Waits.\n# TYPE transcribe_wait_seconds histogram\n\
            transcribe_wait_seconds_bucket{le=\"0.1\"} 1\ntranscribe_wait_seconds_bucket{le=\"1\"} 3\n\
            transcribe_wait_seconds_bucket{le=\"+Inf\"} 4\ntranscribe_wait_seconds_sum 4.5\n\
            transcribe_wait_seconds_count 4\n";
        assert_eq!(text.into_string(), expected);
    }
}
