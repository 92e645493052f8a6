//! What goes wrong around a server: a full disk, slow clients, a thousand jobs, webhooks that hang. Afterwards there are as
//! many descriptors, threads and files as before.

use std::net::TcpListener;

use serde_json::json;

use super::pressure::{begin_upload, chunk, file_head};
use super::{BOUNDARY, Form, Serving, short};
use crate::program::fixture;

/// Threads that a runtime keeps for a while after it needed them.
const SPARE_THREADS: usize = 16;

/// What a server holds.
#[derive(Debug, Clone, Copy)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    /// Uploads that are not complete, and requests.
    temporary: usize,
    /// Resident memory in kB.
    memory: u64,
}

impl Holdings {
    fn of(serving: &Serving) -> Self {
        let at = |what: &str| format!("/proc/{}/{what}", serving.pid());
        let count = |what: &str| std::fs::read_dir(at(what)).unwrap().count();
        let status = std::fs::read_to_string(at("status")).unwrap();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        Self {
            descriptors: count("fd"),
            threads: count("task"),
            temporary: serving.files("incoming").len() + serving.files("requests").len(),
            memory: memory.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }

    /// Waits until the server holds no more than this, apart from memory.
    #[track_caller]
    fn wait_for_no_more(&self, serving: &Serving) {
        serving.wait(|serving| {
            let now = Self::of(serving);
            now.descriptors <= self.descriptors + 2
                && now.threads <= self.threads + SPARE_THREADS
                && now.temporary <= self.temporary
        });
    }
}

/// Starts a server and has it transcribe once, so that everything is loaded.
fn warm(args: &[&str]) -> Serving {
    let serving = Serving::start(args).ready();
    assert_eq!(serving.post("/v1/audio/transcriptions", short()).status, 200);
    serving
}

#[test]
fn a_full_disk_refuses_what_it_cannot_hold_and_recovers() {
    let Some(serving) = Serving::start_on_small_disk("3m", &["--min-free-disk", "0"]) else {
        println!("skipped: this needs the right to mount a file system");
        return;
    };
    let serving = serving.ready();
    assert_eq!(serving.post("/v1/audio/transcriptions", short()).status, 200);
    let before = Holdings::of(&serving);
    // Nobody announces how much comes.
    let mut stream = begin_upload(&serving, None);
    chunk(&mut stream, file_head().as_bytes()).unwrap();
    let block = vec![0; 256 << 10];
    let _ = (0..64).take_while(|_| chunk(&mut stream, &block).is_ok()).count();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 507"), "{answer}");
    drop(stream);
    before.wait_for_no_more(&serving);
    // Announced: it does not even begin.
    let large = Form::default().bytes("large.wav", &vec![0; 4 << 20]);
    serving.post("/v1/jobs", large).error(503, "short_of_resources");
    // Somebody else fills the disk.
    let filler = serving.state().join("filler");
    let mut full = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut full, &[0; 4096]).is_ok() {}
    for path in ["/v1/jobs", "/v1/audio/transcriptions"] {
        let refused = serving.post(path, short());
        assert!([503, 507].contains(&refused.status), "{}", refused.text());
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(serving.get("/health").status, 200);
    drop(full);
    std::fs::remove_file(&filler).unwrap();
    let id = serving.submit(short());
    assert_eq!(serving.wait_for(&id, &["completed", "failed"])["state"], "completed");
    before.wait_for_no_more(&serving);
}

#[test]
fn a_slow_client_is_served_beside_others() {
    let serving = warm(&[]);
    let before = Holdings::of(&serving);
    let recording = std::fs::read(fixture("long/short_en.flac")).unwrap();
    let mut stream = begin_upload(&serving, None);
    chunk(&mut stream, file_head().as_bytes()).unwrap();
    for (nth, part) in recording.chunks(recording.len() / 8).enumerate() {
        chunk(&mut stream, part).unwrap();
        // Whoever comes meanwhile gets an answer first.
        if nth % 4 == 1 {
            assert_eq!(serving.post("/v1/audio/transcriptions", short()).status, 200);
        }
    }
    chunk(&mut stream, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()).unwrap();
    std::io::Write::write_all(&mut stream, b"0\r\n\r\n").unwrap();
    serving.wait(|serving| {
        serving.get("/v1/jobs?state=completed").json()["data"].as_array().unwrap().len() == 1
    });
    drop(stream);
    // A client that reads its answer slowly, or never.
    let silent = begin_upload(&serving, Some(10));
    before_reading_nothing(&silent);
    drop(silent);
    before.wait_for_no_more(&serving);
}

/// Sends less than was announced.
fn before_reading_nothing(mut stream: &std::net::TcpStream) {
    std::io::Write::write_all(&mut stream, b"--a").unwrap();
}

#[test]
fn a_thousand_jobs_wait_in_their_order_and_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("talk.flac");
    std::fs::copy(fixture("long/short_en.flac"), &recording).unwrap();
    let args = ["--allow-folder", folder.path().to_str().unwrap(), "--jobs", "1", "--max-queue", "1000"];
    let serving = Serving::start_at(&args, Some("stop read 1"));
    let job = json!({ "path": recording });
    let submit = || serving.post_json("/v1/jobs", &job);
    let running = submit().json()["id"].as_str().unwrap().to_owned();
    serving.wait_for(&running, &["running"]);
    let before = Holdings::of(&serving);
    for nth in 0..1000 {
        let answer = submit();
        assert_eq!(answer.status, 202, "{nth}: {}", answer.text());
    }
    submit().error(429, "busy");
    let full = Holdings::of(&serving);
    let list = serving.get("/v1/jobs?state=queued&limit=1000").json();
    let waiting = list["data"].as_array().unwrap();
    let positions: Vec<u64> = waiting.iter().map(|job| job["position"].as_u64().unwrap()).collect();
    // The newest is listed first and starts last.
    assert_eq!(positions, (0..1000).rev().collect::<Vec<u64>>());
    let grown = full.memory.saturating_sub(before.memory);
    assert!(grown < 32 << 10, "{grown} kB for 1000 jobs that wait");
    for job in waiting {
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        assert_eq!(serving.delete(&path).json()["state"], "cancelled");
    }
    assert_eq!(serving.get("/health/detailed").json()["queue"]["queued"], 0);
    for job in waiting {
        serving.delete(&format!("/v1/jobs/{}", job["id"].as_str().unwrap()));
    }
    serving.delete(&format!("/v1/jobs/{running}"));
    before.wait_for_no_more(&serving);
    let after = Holdings::of(&serving);
    println!(
        "memory: {} kB before, {} kB with 1000 jobs, {} kB after",
        before.memory, full.memory, after.memory
    );
    let left: Vec<String> =
        serving.files("jobs").into_iter().filter(|file| !file.contains(&running)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn webhooks_that_hang_hold_nothing_up() {
    // Connections are taken by the system, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("http://{}/", silent.local_addr().unwrap());
    let mut serving = warm(&["--allow-private-addresses"]);
    let jobs: Vec<String> = (0..8).map(|_| serving.submit(short().text("webhook", &hook))).collect();
    for id in &jobs {
        assert_eq!(serving.wait_for(id, &["completed", "failed"])["state"], "completed");
    }
    assert_eq!(serving.post("/v1/audio/transcriptions", short()).status, 200);
    assert_eq!(serving.delete(&format!("/v1/jobs/{}", jobs[0])).status, 200);
    let health = serving.get("/health/detailed").json();
    assert_eq!((&health["status"], &health["queue"]["running"]), (&"ok".into(), &0.into()), "{health}");
    // They are called again after a restart.
    let ended = serving.terminate();
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    serving.launch(None);
    serving.wait(|serving| serving.job(&jobs[1])["webhook"]["attempts"].as_u64() >= Some(1));
    let outcome = serving.job(&jobs[1])["webhook"]["outcome"].clone();
    assert!(outcome.as_str().is_some_and(|outcome| outcome.contains("timeout")), "{outcome}");
}
