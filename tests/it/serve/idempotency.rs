//! Submissions that are repeated with the same `Idempotency-Key`.

use serde_json::json;

use super::pressure::{begin_upload_with, chunk, file_head};
use super::{Answer, Form, Serving, short};
use crate::program::fixture;

const KEY: &str = "7f0c2a52-a-key-of-the-client";

fn submit(serving: &Serving, key: &str, form: Form) -> Answer {
    serving.post_with("/v1/jobs", form, &[("idempotency-key", key)])
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
}

#[test]
fn the_same_submission_is_the_same_job_also_after_a_kill() {
    let mut serving = Serving::start(&[]).ready();
    let form = || short().text("outputs", "srt").text("language", "en");
    let first = submit(&serving, KEY, form());
    assert_eq!((first.status, first.header("idempotent-replayed")), (202, None));
    let job = id(&first);
    let is_repeated = |answer: &Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("idempotent-replayed"), Some("true"));
        assert_eq!(answer.header("location"), Some(format!("/v1/jobs/{job}").as_str()));
        assert_eq!((id(answer), &answer.json()["idempotency_key"]), (job.clone(), &KEY.into()));
    };
    is_repeated(&submit(&serving, KEY, form()));
    serving.kill();
    serving.launch(None);
    is_repeated(&submit(&serving, KEY, form()));
    serving.wait_for(&job, &["completed"]);
    is_repeated(&submit(&serving, KEY, form()));
    // Whether it was accepted can be asked without sending the recording again.
    let list = serving.get(&format!("/v1/jobs?idempotency_key={KEY}")).json();
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["id"]), (1, &job.as_str().into()));
    assert!(serving.get("/v1/jobs?idempotency_key=other").json()["data"].as_array().unwrap().is_empty());
    let metrics = serving.get("/metrics");
    assert!(metrics.text().contains("transcribe_repeated_submissions_total 2"), "{}", metrics.text());
    assert!(serving.files("incoming").is_empty());
    assert_eq!(serving.get("/v1/jobs").json()["data"].as_array().unwrap().len(), 1);
    // A deleted job frees its key.
    serving.delete(&format!("/v1/jobs/{job}"));
    let next = submit(&serving, KEY, form());
    assert_eq!(next.status, 202);
    assert_ne!(id(&next), job);
}

#[test]
fn a_key_belongs_to_one_submission() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.flac");
    std::fs::copy(fixture("long/short_en.flac"), &path).unwrap();
    let serving = Serving::start(&["--allow-folder", folder.path().to_str().unwrap()]).ready();
    let job = id(&submit(&serving, KEY, short().text("language", "en")));
    let others = [
        short(),
        short().text("language", "de"),
        short().text("language", "en").text("priority", "3"),
        short().text("language", "en").text("webhook", "http://127.0.0.1:1/"),
        Form::default().file("long/short_es.flac").text("language", "en"),
        Form::default().bytes("short_en.flac", b"another recording").text("language", "en"),
    ];
    for other in others {
        let message = submit(&serving, KEY, other).error(422, "idempotency_key_reused");
        assert!(message.contains(&job) && message.contains("new key"), "{message}");
    }
    assert_eq!(submit(&serving, "another key", short()).status, 202);
    for key in ["", "ü", &"x".repeat(256)] {
        submit(&serving, key, short()).error(400, "invalid_request");
    }
    // JSON has keys as well, whatever the order of its fields.
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let post = |body: String| {
        let request =
            agent.post(format!("{}/v1/jobs", serving.url())).header("content-type", "application/json");
        request.header("idempotency-key", "of json").send(body).unwrap().status().as_u16()
    };
    let path = json!(path);
    let body = |options: &str| format!("{{\"path\": {path}, \"options\": {{{options}}}}}");
    assert_eq!(post(body("\"language\": \"en\", \"vad\": true")), 202);
    assert_eq!(post(body("\"vad\": true, \"language\": \"en\"")), 200);
    assert_eq!(post(body("\"vad\": false, \"language\": \"en\"")), 422);
    assert!(serving.files("incoming").is_empty());
}

#[test]
fn owners_have_keys_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.txt");
    std::fs::write(&keys, "anna submit the-key-of-anna-1\nbert submit the-key-of-bert-2\n").unwrap();
    let serving = Serving::start(&["--api-keys", keys.to_str().unwrap()]).ready();
    let submit = |api_key: &str| {
        serving.post_with("/v1/jobs", short(), &[("x-api-key", api_key), ("idempotency-key", KEY)])
    };
    let (anna, bert) = (submit("the-key-of-anna-1"), submit("the-key-of-bert-2"));
    assert_eq!((anna.status, bert.status), (202, 202));
    assert_ne!(id(&anna), id(&bert));
    assert_eq!(id(&submit("the-key-of-anna-1")), id(&anna));
}

#[test]
fn an_upload_that_is_cut_off_can_be_sent_again() {
    let serving = Serving::start(&[]).ready();
    let mut stream = begin_upload_with(&serving, None, &format!("Idempotency-Key: {KEY}\r\n"));
    chunk(&mut stream, file_head().as_bytes()).unwrap();
    chunk(&mut stream, &[1; 100_000]).unwrap();
    serving.wait(|serving| !serving.files("incoming").is_empty());
    // Two of them at the same time would be two jobs.
    let refused = submit(&serving, KEY, short());
    refused.error(409, "idempotency_key_in_use");
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(stream);
    serving.wait(|serving| submit(serving, KEY, short()).status != 409);
    assert_eq!(submit(&serving, KEY, short()).status, 200);
    assert_eq!(serving.get("/v1/jobs").json()["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_full_queue_does_not_hide_the_job_of_a_repeated_submission() {
    let serving = Serving::start_at(&["--jobs", "1", "--max-queue", "1"], Some("stop read 1"));
    let running = serving.submit(short());
    serving.wait_for(&running, &["running"]);
    let waiting = submit(&serving, KEY, short());
    assert_eq!(waiting.status, 202);
    serving.post("/v1/jobs", short()).error(429, "busy");
    let again = submit(&serving, KEY, short());
    assert_eq!((again.status, id(&again)), (200, id(&waiting)));
}
