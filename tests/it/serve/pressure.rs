//! Limits: too much, too many, too slow, and clients that go away.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{BOUNDARY, Form, Serving, short};

/// Sends the head of a form without its end.
pub fn begin_upload(serving: &Serving, length: Option<u64>) -> TcpStream {
    begin_upload_with(serving, length, "")
}

/// Sends the head of a form with further headers, each with its end of line.
pub fn begin_upload_with(serving: &Serving, length: Option<u64>, headers: &str) -> TcpStream {
    let address = serving.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let framing =
        length.map_or("Transfer-Encoding: chunked".into(), |length| format!("Content-Length: {length}"));
    write!(
        stream,
        "POST /v1/jobs HTTP/1.1\r\nHost: {address}\r\n{framing}\r\n{headers}\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    .unwrap();
    stream
}

pub fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n", bytes.len())?;
    stream.write_all(bytes)?;
    stream.write_all(b"\r\n")
}

pub fn file_head() -> String {
    format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n")
}

#[test]
fn uploads_are_limited_while_they_are_received() {
    let serving = Serving::start(&["--max-upload", "1MB"]).ready();
    // Announced.
    let large = Form::default().bytes("large.wav", &vec![0; 3 << 20]);
    let address = serving.url().trim_start_matches("http://").to_owned();
    let mut stream = begin_upload(&serving, Some(3 << 20));
    let mut answer = [0; 512];
    let read = stream.read(&mut answer).unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 413"), "{address}");
    drop(large);
    // Unannounced: the answer comes before the end.
    let mut stream = begin_upload(&serving, None);
    chunk(&mut stream, file_head().as_bytes()).unwrap();
    let block = vec![0; 256 << 10];
    let sent = (0..64).take_while(|_| chunk(&mut stream, &block).is_ok()).count();
    let mut answer = Vec::new();
    // The connection may be reset once the answer is there.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 413") || sent < 64, "{sent} {}", String::from_utf8_lossy(&answer));
    serving.wait(|serving| serving.files("incoming").is_empty());
    assert!(serving.files("jobs").is_empty());
    let metrics = serving.get("/metrics");
    assert!(
        metrics.text().contains("transcribe_refused_total{reason=\"too_large\"} 2"),
        "{}",
        metrics.text()
    );
}

#[test]
fn uploads_that_are_cut_off_leave_nothing() {
    let serving = Serving::start(&[]).ready();
    let mut stream = begin_upload(&serving, None);
    chunk(&mut stream, file_head().as_bytes()).unwrap();
    chunk(&mut stream, &[1; 100_000]).unwrap();
    serving.wait(|serving| !serving.files("incoming").is_empty());
    drop(stream);
    serving.wait(|serving| serving.files("incoming").is_empty());
    assert_eq!(serving.get("/v1/jobs").json()["data"].as_array().unwrap().len(), 0);
    let health = serving.get("/health/detailed").json();
    assert_eq!(health["queue"]["transfers_free"], 64, "{health}");
}

#[test]
fn hostile_forms_are_refused() {
    let serving = Serving::start(&[]).ready();
    let many = (0..100).fold(short(), |form, n| form.text(&format!("field{n}"), "x"));
    serving.post("/v1/jobs", many).error(400, "invalid_request");
    serving.post("/v1/jobs", short().text("language", &"x".repeat(100_000))).error(400, "invalid_request");
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let raw = |kind: &str, body: &[u8]| {
        let request = agent.post(format!("{}/v1/jobs", serving.url())).header("content-type", kind);
        request.send(body).unwrap().status().as_u16()
    };
    for body in
        ["", "--", "--x\r\n\r\n", &format!("--{BOUNDARY}\r\n"), &format!("--{BOUNDARY}\r\nnonsense\r\n\r\n")]
    {
        assert_eq!(raw(&kind, body.as_bytes()), 400, "{body:?}");
    }
    assert_eq!(raw("multipart/form-data", b""), 400);
    assert_eq!(raw("application/json", b"{"), 400);
    assert_eq!(raw("application/json", &vec![b'['; 3 << 20]), 400);
    assert!(serving.files("incoming").is_empty() && serving.files("jobs").is_empty());
}

#[test]
fn a_full_queue_refuses_and_says_when_to_come_again() {
    let serving = Serving::start_at(&["--jobs", "1", "--max-queue", "2"], Some("stop read 1"));
    let first = serving.submit(short());
    serving.wait_for(&first, &["running"]);
    let waiting = [serving.submit(short()), serving.submit(short())];
    for path in ["/v1/jobs", "/v1/audio/transcriptions", "/inference"] {
        let refused = serving.post(path, short());
        refused.error(429, "busy");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    }
    serving.delete(&format!("/v1/jobs/{}", waiting[1]));
    serving.submit(short());
    assert_eq!(serving.get("/health/detailed").json()["queue"]["queued"], 2);
}

#[test]
fn a_machine_that_is_short_of_something_refuses() {
    let serving = Serving::start(&["--min-free-memory", "900TB"]).ready();
    let refused = serving.post("/v1/audio/transcriptions", short());
    let message = refused.error(503, "short_of_resources");
    assert!(message.contains("memory") && refused.header("retry-after").is_some(), "{message}");
    let health = serving.get("/health/detailed").json();
    assert_eq!(health["status"], "degraded");
    drop(serving);
    let serving = Serving::start(&["--min-free-disk", "900PB"]).ready();
    assert!(serving.post("/v1/jobs", short()).error(503, "short_of_resources").contains("disk"));
}

#[test]
fn requests_of_clients_that_go_away_are_cancelled() {
    let serving = Serving::start_at(&["--jobs", "1"], Some("stop read 1"));
    let address = serving.url().trim_start_matches("http://").to_owned();
    let body = short().finish();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(&body).unwrap();
    serving.wait(|serving| serving.get("/health/detailed").json()["queue"]["running"] == 1);
    drop(stream);
    serving.wait(|serving| serving.get("/health/detailed").json()["queue"]["running"] == 0);
}

#[test]
fn many_clients_share_the_batch_and_leave_nothing() {
    let serving = Serving::start(&[]).ready();
    let pid = serving.pid();
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    serving.post("/v1/audio/transcriptions", short());
    let (threads, files) = (count("task"), count("fd"));
    let url = serving.url().to_owned();
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                super::ask(&url, "/v1/audio/transcriptions", short()).json()["text"].clone()
            })
        })
        .collect();
    let texts: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    serving.wait(|_| count("fd") <= files + 1);
    serving.wait(|_| count("task") <= threads + 16);
    assert_eq!(serving.files("requests").len() + serving.files("incoming").len(), 0);
    let metrics = serving.get("/metrics");
    assert!(metrics.text().contains("transcribe_jobs_ended_total{state=\"completed\"} 17"));
}
