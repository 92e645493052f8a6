//! Metrics as OpenTelemetry's protocol has them, in JSON.

use serde_json::{Value, json};

use super::metric_sink::{MetricSink, Sample};

/// Counters and histograms hold everything since the start.
const CUMULATIVE: u32 = 2;

/// Metrics for one request to a collector.
pub struct OtlpMetrics {
    /// When counting began, and when the figures were taken, in nanoseconds since 1970.
    started: String,
    now: String,
    metrics: Vec<Value>,
}

impl OtlpMetrics {
    pub fn new(started: u128, now: u128) -> Self {
        Self { started: started.to_string(), now: now.to_string(), metrics: Vec::new() }
    }

    /// Returns the body of the request; `instance` tells several servers apart.
    pub fn into_body(self, instance: &str) -> String {
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let resource =
            [("service.name", name), ("service.version", version), ("service.instance.id", instance)];
        let body = json!({ "resourceMetrics": [{
            "resource": { "attributes": attributes(&resource) },
            "scopeMetrics": [{ "scope": { "name": name, "version": version }, "metrics": self.metrics }],
        }] });
        body.to_string()
    }

    fn points(&self, samples: &[Sample<'_>]) -> Vec<Value> {
        let point = |(labels, value): &Sample<'_>| {
            json!({ "attributes": attributes(labels), "startTimeUnixNano": self.started, "timeUnixNano": self.now,
                "asDouble": value })
        };
        samples.iter().map(point).collect()
    }

    fn add(&mut self, name: &str, help: &str, kind: &str, data: Value) {
        let mut metric = json!({ "name": format!("transcribe_{name}"), "description": help });
        metric[kind] = data;
        self.metrics.push(metric);
    }
}

impl MetricSink for OtlpMetrics {
    fn counter(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        if !samples.is_empty() {
            let points = self.points(samples);
            let data =
                json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true, "dataPoints": points });
            self.add(name, help, "sum", data);
        }
    }

    fn gauge(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        if !samples.is_empty() {
            let points = self.points(samples);
            self.add(name, help, "gauge", json!({ "dataPoints": points }));
        }
    }

    fn histogram(&mut self, name: &str, help: &str, buckets: &[(f64, u64)], sum: f64, count: u64) {
        // Here each bucket counts its own values only, and the last one has no bound.
        let upto = buckets.iter().map(|(_, values)| *values).chain([count]);
        let below = std::iter::once(0).chain(buckets.iter().map(|(_, values)| *values));
        let counts: Vec<String> =
            upto.zip(below).map(|(upto, below)| upto.saturating_sub(below).to_string()).collect();
        let bounds: Vec<f64> = buckets.iter().map(|(bound, _)| *bound).collect();
        let point = json!({ "attributes": [], "startTimeUnixNano": self.started, "timeUnixNano": self.now,
            "count": count.to_string(), "sum": sum, "bucketCounts": counts, "explicitBounds": bounds });
        let data = json!({ "aggregationTemporality": CUMULATIVE, "dataPoints": [point] });
        self.add(name, help, "histogram", data);
    }
}

fn attributes(labels: &[(&str, &str)]) -> Vec<Value> {
    labels.iter().map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_collectors_read() {
        let mut metrics = OtlpMetrics::new(5, 7);
        metrics.counter("jobs_total", "Jobs.", &[(&[("state", "completed")], 2.0)]);
        metrics.gauge("slots", "Slots.", &[(&[], 8.0)]);
        metrics.gauge("nothing", "No samples, no metric.", &[]);
        metrics.histogram("wait_seconds", "Waits.", &[(0.1, 1), (1.0, 3)], 4.5, 4);
        let body: Value = serde_json::from_str(&metrics.into_body("host:8080")).unwrap();
        let resource = &body["resourceMetrics"][0];
        let instance = json!({ "key": "service.instance.id", "value": { "stringValue": "host:8080" } });
        assert_eq!(resource["resource"]["attributes"][2], instance);
        let state = json!({ "key": "state", "value": { "stringValue": "completed" } });
        let expected = json!([
            { "name": "transcribe_jobs_total", "description": "Jobs.", "sum": { "aggregationTemporality": 2,
                "isMonotonic": true, "dataPoints": [{ "attributes": [state], "startTimeUnixNano": "5",
                "timeUnixNano": "7", "asDouble": 2.0 }] } },
            { "name": "transcribe_slots", "description": "Slots.", "gauge": { "dataPoints": [{ "attributes": [],
                "startTimeUnixNano": "5", "timeUnixNano": "7", "asDouble": 8.0 }] } },
            { "name": "transcribe_wait_seconds", "description": "Waits.", "histogram": {
                "aggregationTemporality": 2, "dataPoints": [{ "attributes": [], "startTimeUnixNano": "5",
                "timeUnixNano": "7", "count": "4", "sum": 4.5, "bucketCounts": ["1", "2", "1"],
                "explicitBounds": [0.1, 1.0] }] } },
        ]);
        assert_eq!(resource["scopeMetrics"][0]["metrics"], expected);
    }
}
