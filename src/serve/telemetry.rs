//! Sends the server's metrics to a collector of OpenTelemetry, if it is told of one. A collector that does not answer costs
//! nothing but the figures that it misses, and the next ones hold them again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::spawn_blocking;

use super::Server;
use super::counters::ServerFigures;
use crate::report::{MetricSink, OtlpMetrics};

/// Where OTLP over HTTP takes metrics, below the address of a collector.
const METRICS_PATH: &str = "/v1/metrics";

/// A collector, and what became of the last attempt to reach it.
pub struct Collector {
    url: String,
    interval: Duration,
    /// When counting began, in nanoseconds since 1970.
    started: u128,
    is_failing: AtomicBool,
}

impl Collector {
    /// `endpoint` is the address of the collector, with or without the path of metrics.
    pub fn new(endpoint: &str, interval: Duration) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        let url = match endpoint.ends_with(METRICS_PATH) {
            true => endpoint.to_owned(),
            false => format!("{endpoint}{METRICS_PATH}"),
        };
        Self { url, interval, started: nanoseconds(), is_failing: AtomicBool::new(false) }
    }
}

impl Server {
    /// Writes everything that the server counts and measures.
    pub fn write_metrics(&self, sink: &mut dyn MetricSink) {
        let memory = self.pressure.resources(&self.jobs).memory;
        let figures = ServerFigures { jobs: self.jobs.counts(), stats: self.status.stats(), memory };
        self.jobs.counters.write(sink, &figures);
    }

    /// Sends the metrics once.
    fn push_metrics(&self, collector: &Collector) {
        let mut metrics = OtlpMetrics::new(collector.started, nanoseconds());
        self.write_metrics(&mut metrics);
        let outcome = self.outgoing.push(&collector.url, &metrics.into_body(&self.instance));
        self.jobs.counters.pushed(if outcome.is_ok() { "received" } else { "failed" });
        let was_failing = collector.is_failing.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Err(why) if !was_failing => (self.options.warn)(&format!("metrics cannot be sent: {why}")),
            Ok(()) if was_failing => (self.options.warn)("metrics can be sent again"),
            Ok(()) | Err(_) => {}
        }
    }
}

/// Sends the metrics again and again.
pub async fn push_regularly(server: Arc<Server>) {
    let Some(interval) = server.collector.as_ref().map(|collector| collector.interval) else { return };
    loop {
        tokio::time::sleep(interval).await;
        push(&server).await;
    }
}

/// Sends the metrics once, if there is a collector.
pub async fn push(server: &Arc<Server>) {
    let worker = Arc::clone(server);
    // A panic was reported by the panic hook.
    let _ = spawn_blocking(move || worker.collector.iter().for_each(|to| worker.push_metrics(to))).await;
}

fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_metrics_is_added_once() {
        let url = |endpoint: &str| Collector::new(endpoint, Duration::ZERO).url;
        for endpoint in ["http://host:4318", "http://host:4318/", "http://host:4318/v1/metrics"] {
            assert_eq!(url(endpoint), "http://host:4318/v1/metrics");
        }
        assert_eq!(url("https://host/otlp"), "https://host/otlp/v1/metrics");
    }
}
