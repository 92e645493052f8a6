//! The smaller model that takes the place of the usual one while memory is short.

use std::path::Path;

use super::{Serving, short};
use crate::program::fixture;

/// Copies the demo model, so that there are two with different names.
fn small_model(folder: &Path) -> String {
    let target = folder.join("small");
    std::fs::create_dir(&target).unwrap();
    for entry in std::fs::read_dir(fixture("../models/demo")).unwrap().flatten() {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
    }
    target.to_str().unwrap().to_owned()
}

/// Returns a limit that the free memory misses, but of which it is more than a quarter.
fn limit_above_free_memory() -> String {
    let serving = Serving::start(&[]).ready();
    let health = serving.get("/health/detailed").json();
    format!("{}B", 2 * health["memory"]["free"].as_u64().unwrap())
}

#[test]
fn jobs_that_name_no_model_get_the_smaller_one_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (small, limit) = (small_model(folder.path()), limit_above_free_memory());
    let mut serving = Serving::start(&["--fallback-model", &small, "--min-free-memory", &limit]).ready();
    let id = serving.submit(short());
    let events = serving.get(&format!("/v1/jobs/{id}/events"));
    assert_eq!(events.text().matches("event: fallback\n").count(), 1, "{}", events.text());
    let job = serving.wait_for(&id, &["completed", "failed"]);
    assert_eq!(job["state"], "completed", "{job}");
    let fallback = &job["fallback"];
    assert_eq!(
        (&fallback["model"], &fallback["instead_of"]),
        (&small.as_str().into(), &"demo".into()),
        "{job}"
    );
    assert!(fallback["reason"].as_str().unwrap().contains("memory"), "{job}");
    assert!(job["result"]["model"].as_str().unwrap().ends_with("small"), "{job}");
    // What names a model gets that one or nothing.
    for path in ["/v1/jobs", "/v1/audio/transcriptions", "/inference"] {
        serving.post(path, short().text("model", "demo")).error(503, "short_of_resources");
    }
    for path in ["/v1/audio/transcriptions", "/inference"] {
        let answer = serving.post(path, short().text("model", "whisper-1"));
        assert_eq!(answer.header("x-transcribe-fallback-model"), Some(small.as_str()), "{}", answer.text());
    }
    let streamed = serving.post("/v1/audio/transcriptions", short().text("stream", "true"));
    assert_eq!(streamed.text().matches("\"transcript.fallback_model\"").count(), 1, "{}", streamed.text());
    let health = serving.get("/health/detailed").json();
    assert_eq!(health["status"], "degraded");
    let expected = serde_json::json!({ "model": small, "is_active": true, "used": 4 });
    assert_eq!(health["fallback"], expected);
    assert!(serving.get("/metrics").text().contains("transcribe_fallback_model_total 4\n"));
    serving.kill();
    serving.launch(None);
    assert_eq!(serving.job(&id)["fallback"], *fallback);
    assert!(serving.terminate().stderr.contains("memory is short") || fallback.is_object());
}

#[test]
fn the_smaller_model_is_not_used_without_need_and_not_without_memory() {
    let folder = tempfile::tempdir().unwrap();
    let small = small_model(folder.path());
    let serving = Serving::start(&["--fallback-model", &small]).ready();
    let id = serving.submit(short());
    let job = serving.wait_for(&id, &["completed", "failed"]);
    assert_eq!(
        (&job["fallback"], &job["result"]["model"]),
        (&serde_json::Value::Null, &"demo".into()),
        "{job}"
    );
    let answer = serving.post("/v1/audio/transcriptions", short());
    assert_eq!((answer.status, answer.header("x-transcribe-fallback-model")), (200, None));
    let named = serving.submit(short().text("model", &small));
    assert_eq!(serving.wait_for(&named, &["completed", "failed"])["fallback"], serde_json::Value::Null);
    let health = serving.get("/health/detailed").json();
    assert_eq!((&health["fallback"]["is_active"], &health["fallback"]["used"]), (&false.into(), &0.into()));
    drop(serving);
    let serving = Serving::start(&["--fallback-model", &small, "--min-free-memory", "900TB"]).ready();
    serving.post("/v1/jobs", short()).error(503, "short_of_resources");
    drop(serving);
    let mut same = crate::program::bare();
    same.args(["serve", "--model", "demo", "--fallback-model", "demo", "--listen", "0"]);
    let same = crate::program::run(same);
    assert_eq!(same.status.code(), Some(2));
    assert!(same.stderr.contains("name a smaller one"), "{}", same.stderr);
}
