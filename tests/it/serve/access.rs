//! Who may ask for what: API keys, scopes, foreign sites, HTTPS, health and metrics.

use super::{Serving, short};
use crate::program::{bare, fixture, run};

const KEYS: &str =
    "anna submit the-key-of-anna-1\nbert submit,read the-key-of-bert-2\nroot admin the-key-of-root-3\n";

#[test]
fn keys_have_scopes_and_jobs_have_owners() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.txt");
    std::fs::write(&keys, KEYS).unwrap();
    let serving = Serving::start(&["--api-keys", keys.to_str().unwrap()]).ready();
    let bearer = |name: &str| format!("Bearer the-key-of-{name}");
    let (anna, bert, root) = (bearer("anna-1"), bearer("bert-2"), bearer("root-3"));
    let get = |path: &str, key: &str| serving.get_with(path, &[("authorization", key)]);
    for path in ["/v1/jobs", "/v1/models", "/metrics", "/health/detailed", "/nothing"] {
        serving.get(path).error(401, "invalid_api_key");
        get(path, "Bearer the-key-of-anna").error(401, "invalid_api_key");
        get(path, "Basic the-key-of-anna-1").error(401, "invalid_api_key");
    }
    for path in ["/health", "/ready", "/openapi.json", "/"] {
        assert_eq!(serving.get(path).status, 200, "{path}");
    }
    serving.post("/v1/jobs", short()).error(401, "invalid_api_key");
    let submitted = serving.post_with("/v1/jobs", short(), &[("x-api-key", "the-key-of-anna-1")]).json();
    let path = format!("/v1/jobs/{}", submitted["id"].as_str().unwrap());
    assert_eq!(get(&path, &anna).status, 200);
    assert_eq!((get(&path, &bert).status, get(&path, &root).status), (200, 200));
    get("/metrics", &anna).error(403, "missing_scope");
    assert_eq!((get("/metrics", &bert).status, get("/health/detailed", &root).status), (200, 200));
    let of_bert = serving.post_with("/v1/jobs", short(), &[("authorization", &bert)]).json();
    // Jobs of others are as unknown as jobs that do not exist.
    get(&format!("/v1/jobs/{}", of_bert["id"].as_str().unwrap()), &anna).error(404, "job_not_found");
    assert_eq!(get("/v1/jobs", &anna).json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(get("/v1/jobs", &bert).json()["data"].as_array().unwrap().len(), 2);
    let delete = |key: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        agent.delete(format!("{}{path}", serving.url())).header("authorization", key).call().unwrap().status()
    };
    assert_eq!((delete(&bert).as_u16(), delete(&anna).as_u16()), (403, 200));
}

#[test]
fn other_machines_are_let_in_only_with_keys() {
    let state = tempfile::tempdir().unwrap();
    let serve = |args: &[&str]| {
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo").args(["serve", "--state-dir"]).arg(state.path()).args(args);
        run(program)
    };
    let open = serve(&["--listen", "0.0.0.0:0"]);
    assert_eq!(open.status.code(), Some(2));
    assert!(open.stderr.contains("--api-keys") && open.stderr.contains("--allow-anyone"), "{}", open.stderr);
    let wrong = serve(&["--listen", "everywhere"]);
    assert_eq!(wrong.status.code(), Some(2));
    let export = serve(&["--export", "srt"]);
    assert_eq!(export.status.code(), Some(2));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = serve(&["--listen", &taken.local_addr().unwrap().to_string()]);
    assert_eq!(taken.status.code(), Some(2));
    assert!(taken.stderr.contains("choose another port"), "{}", taken.stderr);
    let model = serve(&["--listen", "0", "--model", "/nonexistent/model"]);
    assert_eq!(model.status.code(), Some(3), "{}", model.stderr);
}

#[test]
fn pages_of_other_sites_are_not_answered() {
    let serving = Serving::start(&[]).ready();
    let port = serving.url().rsplit(':').next().unwrap().to_owned();
    let ask = |host: &str, origin: Option<&str>| {
        let mut headers = vec![("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        serving.get_with("/v1/jobs", &headers).status
    };
    let own = format!("localhost:{port}");
    assert_eq!(ask(&own, None), 200);
    assert_eq!(ask(&own, Some(&format!("http://{own}"))), 200);
    assert_eq!(ask(&own, Some("http://evil.example")), 403);
    assert_eq!(ask(&own, Some("null")), 403);
    // A name that was made to mean this machine.
    assert_eq!(ask("evil.example", None), 403);
    assert_eq!(ask("evil.example", Some("http://evil.example")), 403);
}

#[test]
fn health_readiness_and_metrics_tell_how_it_is() {
    let mut serving = Serving::start(&["--log-format", "json"]).ready();
    assert_eq!(serving.get("/health").json()["status"], "ok");
    serving.post("/v1/audio/transcriptions", short());
    let health = serving.get("/health/detailed").json();
    assert_eq!((&health["status"], &health["model"]["state"]), (&"ok".into(), &"ready".into()), "{health}");
    assert_eq!(health["model"]["loaded"], serde_json::json!(["demo on cpu"]));
    assert!(health["memory"]["held"].as_u64().unwrap() > 1 << 20);
    let answer = serving.get_with("/metrics", &[("x-request-id", "from-me-7")]);
    assert_eq!(answer.header("x-request-id"), Some("from-me-7"));
    for line in [
        "transcribe_jobs_ended_total{state=\"completed\"} 1",
        "transcribe_audio_seconds_total 10",
        "transcribe_job_work_seconds_count 1",
        "transcribe_http_requests_total{route=\"POST /v1/audio/transcriptions\",status=\"200\"} 1",
    ] {
        assert!(answer.text().lines().any(|known| known == line), "{line}\n{}", answer.text());
    }
    let described = serving.get("/openapi.json").json();
    for path in ["/v1/audio/transcriptions", "/v1/jobs", "/v1/jobs/{id}", "/inference", "/ready", "/metrics"]
    {
        assert!(described["paths"].get(path).is_some(), "{path}");
    }
    serving.get("/no/such/thing").error(404, "not_found");
    assert!(serving.delete("/health").error(405, "method_not_allowed").contains("DELETE"));
    let ended = serving.terminate();
    let log: Vec<serde_json::Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = log.iter().find(|line| line["path"] == "/metrics").unwrap();
    assert_eq!(
        (&line["method"], &line["status"], &line["request"]),
        (&"GET".into(), &200.into(), &"from-me-7".into())
    );
}

#[test]
fn answers_over_https() {
    let (certificate, key) = (fixture("serve/certificate.pem"), fixture("serve/key.pem"));
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let serving = Serving::start(&["--tls-certificate", certificate, "--tls-key", key]);
    assert!(serving.url().starts_with("https://"));
    let pem = std::fs::read(certificate).unwrap();
    let root = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let tls =
        ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&[root])).build();
    let agent: ureq::Agent = ureq::Agent::config_builder().tls_config(tls).build().into();
    let answer = agent.get(format!("{}/health", serving.url())).call().unwrap();
    assert_eq!(answer.status(), 200);
    let mut wrong = bare();
    wrong.args(["serve", "--listen", "0", "--tls-certificate", key, "--tls-key", key]);
    let wrong = run(wrong);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("holds no certificate"), "{}", wrong.stderr);
}
