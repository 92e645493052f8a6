//! What survives the end of the server: jobs, their journals, and nothing else.

use std::os::unix::process::ExitStatusExt;

use super::{Serving, printed, short};
use crate::program::fixture;

const LONG: &str = "long/long_en.flac";

fn long() -> super::Form {
    super::Form::default().file(LONG).text("chunk-length", "10").text("outputs", "srt")
}

fn expected() -> String {
    let printed = printed(&fixture(LONG), &["--export", "srt", "--chunk-length", "10"]);
    String::from_utf8(printed).unwrap()
}

#[test]
fn jobs_go_on_where_they_were_after_a_kill() {
    let mut serving = Serving::start_at(&[], Some("hang chunk 3"));
    let first = serving.submit(long());
    serving.printed_line("test hook: ");
    let second = serving.submit(short());
    assert_eq!(serving.job(&first)["state"], "running");
    serving.kill();
    serving.launch(None);
    let done = serving.wait_for(&first, &["completed", "failed"]);
    assert_eq!(done["state"], "completed", "{done}");
    assert_eq!(serving.wait_for(&second, &["completed", "failed"])["state"], "completed");
    assert_eq!(serving.get(&format!("/v1/jobs/{first}/transcript.srt")).text(), expected());
    let ended = serving.terminate();
    assert!(ended.stderr.contains("2 jobs of an earlier run go on"), "{}", ended.stderr);
    assert!(ended.stderr.contains("resum"), "{}", ended.stderr);
    // Ended jobs are there after a restart, too.
    serving.launch(None);
    assert_eq!(serving.job(&first)["state"], "completed");
    assert_eq!(serving.get(&format!("/v1/jobs/{first}/transcript.srt")).text(), expected());
}

#[test]
fn a_server_that_is_asked_to_end_drains() {
    let mut serving = Serving::start_at(&["--drain-timeout", "100ms"], Some("stop chunk 2"));
    let id = serving.submit(long());
    serving.printed_line("test hook: ");
    serving.signal();
    serving.wait(|serving| serving.get("/ready").status == 503);
    assert_eq!(serving.get("/ready").json()["status"], "draining");
    let refused = serving.post("/v1/jobs", short());
    refused.error(503, "draining");
    assert!(refused.header("retry-after").is_some());
    let ended = serving.end();
    assert_eq!(ended.status.signal(), Some(15), "{}", ended.stderr);
    serving.launch(None);
    assert_eq!(serving.wait_for(&id, &["completed", "failed"])["state"], "completed");
    assert_eq!(serving.get(&format!("/v1/jobs/{id}/transcript.srt")).text(), expected());
}

#[test]
fn running_jobs_may_end_while_the_server_drains() {
    let mut serving = Serving::start(&[]).ready();
    let id = serving.submit(short());
    serving.wait(|serving| serving.job(&id)["state"] != "queued");
    let ended = serving.terminate();
    assert_eq!(ended.status.signal(), Some(15), "{}", ended.stderr);
    serving.launch(None);
    assert_eq!(serving.job(&id)["state"], "completed");
}

#[test]
fn requests_that_wait_are_told_that_the_server_ends() {
    let mut serving = Serving::start_at(&["--drain-timeout", "100ms"], Some("stop read 1"));
    let url = serving.url().to_owned();
    let waiting = std::thread::spawn(move || super::ask(&url, "/v1/audio/transcriptions", short()));
    serving.printed_line("test hook: ");
    serving.terminate();
    waiting.join().unwrap().error(503, "draining");
    assert_eq!(serving.files("requests").len(), 0);
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let serving = Serving::start(&[]);
    let mut second = crate::program::bare();
    second
        .env("TRANSCRIBE_MODEL", "demo")
        .args(["serve", "--listen", "0", "--state-dir"])
        .arg(serving.state());
    let second = crate::program::run(second);
    assert_eq!(second.status.code(), Some(2));
    assert!(second.stderr.contains("used by another server"), "{}", second.stderr);
}

#[test]
fn damaged_records_are_left_alone_and_the_others_go_on() {
    let mut serving = Serving::start(&[]).ready();
    let (good, bad) = (serving.submit(short()), serving.submit(short()));
    [&good, &bad].into_iter().for_each(|id| drop(serving.wait_for(id, &["completed"])));
    serving.kill();
    let record = serving.state().join("jobs").join(&bad).join("job.json");
    let content = std::fs::read(&record).unwrap();
    std::fs::write(&record, &content[..content.len() / 2]).unwrap();
    serving.launch(None);
    assert_eq!(serving.job(&good)["state"], "completed");
    serving.get(&format!("/v1/jobs/{bad}")).error(404, "job_not_found");
    assert!(record.is_file());
    assert!(serving.terminate().stderr.contains("left alone"));
}
