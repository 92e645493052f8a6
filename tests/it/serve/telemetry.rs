//! Metrics that are sent to a collector of OpenTelemetry.

use std::os::unix::process::ExitStatusExt;

use serde_json::Value;

use super::outgoing::{listen, respond};
use super::{PATIENCE, Serving, short};

/// Returns the metrics of a request by name.
fn metric<'m>(body: &'m Value, name: &str) -> &'m Value {
    let metrics = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    metrics.iter().find(|metric| metric["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn metrics_are_sent_regularly_and_at_the_end() {
    let (collector, requests) = listen(|_, stream| respond(stream, "200 OK", b"{}"));
    let mut serving = Serving::start(&["--otlp-endpoint", &collector, "--otlp-interval", "50ms"]).ready();
    requests.recv_timeout(PATIENCE).unwrap();
    let id = serving.submit(short());
    serving.wait_for(&id, &["completed"]);
    serving
        .wait(|serving| serving.get("/metrics").text().contains("otlp_pushes_total{outcome=\"received\"}"));
    let printed = serving.get("/metrics");
    serving.terminate();
    let last = requests.try_iter().last().unwrap();
    let (head, body) = last.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let ended = &metric(&body, "transcribe_jobs_ended_total")["sum"];
    assert_eq!((&ended["isMonotonic"], &ended["dataPoints"][0]["asDouble"]), (&true.into(), &1.0.into()));
    let work = &metric(&body, "transcribe_job_work_seconds")["histogram"]["dataPoints"][0];
    assert_eq!((&work["count"], work["bucketCounts"].as_array().unwrap().len()), (&"1".into(), 13));
    // The same figures as for Prometheus.
    for line in printed.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(!metric(&body, name).is_null(), "{name}");
    }
}

#[test]
fn what_happened_last_is_sent_before_the_end() {
    let (collector, requests) = listen(|_, stream| respond(stream, "200 OK", b""));
    let mut serving = Serving::start(&["--otlp-endpoint", &collector, "--otlp-interval", "1h"]).ready();
    serving.post("/v1/audio/transcriptions", short());
    serving.terminate();
    let request = requests.try_recv().unwrap();
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    let audio = &metric(&body, "transcribe_audio_seconds_total")["sum"]["dataPoints"][0];
    assert_eq!(audio["asDouble"], 10.0);
    assert!(requests.try_recv().is_err());
}

#[test]
fn collectors_that_hang_refuse_or_are_not_there_do_no_harm() {
    // Connections are taken by the system, and nobody ever reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!("http://{}", silent.local_addr().unwrap());
    let (refuses, _requests) = listen(|_, stream| respond(stream, "503 Service Unavailable", b""));
    for (collector, expected) in
        [(hangs, "timeout"), (refuses, "503"), ("http://127.0.0.1:1".into(), "refused")]
    {
        let mut serving = Serving::start(&["--otlp-endpoint", &collector, "--otlp-interval", "50ms"]).ready();
        serving
            .wait(|serving| serving.get("/metrics").text().contains("otlp_pushes_total{outcome=\"failed\"}"));
        assert_eq!(serving.post("/v1/audio/transcriptions", short()).status, 200);
        let warning = serving.printed_line("metrics cannot be sent");
        assert!(warning.contains(expected), "{warning}");
        let ended = serving.terminate();
        assert_eq!(ended.status.signal(), Some(15), "{}", ended.stderr);
        assert_eq!(ended.stderr.matches("metrics cannot be sent").count(), 1, "{}", ended.stderr);
    }
    let mut wrong = crate::program::bare();
    wrong.args(["serve", "--listen", "0", "--otlp-endpoint", "localhost:4318"]);
    let wrong = crate::program::run(wrong);
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
}
