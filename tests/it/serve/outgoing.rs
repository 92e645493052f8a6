//! What the server asks others for: downloads and webhooks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, Serving, short};
use crate::program::fixture;

/// A server that answers one request after the other as `answer` says, and passes them on.
pub fn listen(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for (nth, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            if sender.send(read_request(&mut stream)).is_err() {
                return;
            }
            answer(nth, &mut stream);
        }
    });
    (url, requests)
}

fn read_request(stream: &mut TcpStream) -> String {
    let (mut request, mut block) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut block).unwrap_or(0);
        request.extend(&block[..read]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

pub fn respond(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

#[test]
fn webhooks_are_signed_and_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret\n").unwrap();
    let (hook, calls) = listen(|nth, stream| match nth {
        0 => respond(stream, "500 Oops", b""),
        _ => respond(stream, "200 OK", b""),
    });
    let serving =
        Serving::start(&["--allow-private-addresses", "--webhook-secret", secret.to_str().unwrap()]).ready();
    let id = serving.submit(short().text("webhook", &format!("{hook}/done?x=1")));
    let first = calls.recv_timeout(PATIENCE).unwrap();
    let second = calls.recv_timeout(PATIENCE).unwrap();
    let (head, body) = second.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /done?x=1 ") && first.ends_with(body), "{first}\n{second}");
    let call: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&call["id"], &call["state"]), (&id.clone().into(), &"completed".into()));
    assert_eq!(call["result"]["duration"], 10.0);
    let signed = head.lines().find_map(|line| line.strip_prefix("x-transcribe-signature: ")).unwrap();
    assert_eq!(signed, hmac_of(b"a secret", body));
    serving.wait(|serving| serving.job(&id)["webhook"]["outcome"] == "received");
    assert_eq!(serving.job(&id)["webhook"]["attempts"], 2);
}

/// Returns the signature as a receiver would compute it, with another implementation: HMAC by its definition.
fn hmac_of(key: &[u8], body: &str) -> String {
    let mut padded = [0; 64];
    padded[..key.len()].copy_from_slice(key);
    let with = |pad: u8, content: &[u8]| -> Vec<u8> {
        let bytes: Vec<u8> = padded.iter().map(|byte| byte ^ pad).chain(content.iter().copied()).collect();
        let hex = transcribe::digest::sha256_hex(&bytes);
        (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    format!("sha256={}", transcribe::digest::hex(&with(0x5c, &with(0x36, body.as_bytes()))))
}

#[test]
fn private_addresses_are_not_called() {
    let (hook, calls) = listen(|_, stream| respond(stream, "200 OK", b""));
    let serving = Serving::start(&["--allow-urls"]).ready();
    let id = serving.submit(short().text("webhook", &hook));
    serving.wait(|serving| {
        let outcome = serving.job(&id)["webhook"]["outcome"].clone();
        outcome.as_str().is_some_and(|outcome| outcome.contains("private address"))
    });
    for url in [
        format!("{hook}/talk.flac"),
        hook.replace("127.0.0.1", "localhost"),
        hook.replace("127.0.0.1", "[::1]"),
    ] {
        let job = serving.post_json("/v1/jobs", &json!({ "url": url })).json();
        let job = serving.wait_for(job["id"].as_str().unwrap(), &["failed", "completed"]);
        assert_eq!(job["state"], "failed", "{job}");
    }
    assert!(calls.try_recv().is_err());
}

#[test]
fn recordings_are_downloaded() {
    let content = std::fs::read(fixture("long/short_en.flac")).unwrap();
    let (host, requests) = listen(move |_, stream| respond(stream, "200 OK", &content));
    let serving = Serving::start(&["--allow-urls", "--allow-private-addresses"]).ready();
    let job = serving
        .post_json("/v1/jobs", &json!({ "url": format!("{host}/a/talk.flac?key=1"), "outputs": ["srt"] }));
    assert_eq!(job.status, 202, "{}", job.text());
    let job = serving.wait_for(job.json()["id"].as_str().unwrap(), &["failed", "completed"]);
    assert_eq!(job["state"], "completed", "{job}");
    assert!(requests.recv().unwrap().starts_with("GET /a/talk.flac?key=1 "));
}

#[test]
fn downloads_have_limits() {
    let (host, _requests) = listen(|_, stream| {
        let endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        let block = [0; 65_536];
        let _ = stream.write_all(endless);
        while stream.write_all(&block).is_ok() {}
    });
    let (missing, _others) = listen(|_, stream| respond(stream, "404 Not Found", b""));
    let serving =
        Serving::start(&["--allow-urls", "--allow-private-addresses", "--max-upload", "2MB"]).ready();
    for (url, expected) in
        [(host, "more than"), (missing, "404"), ("http://127.0.0.1:1/x".into(), "127.0.0.1:1")]
    {
        let job = serving.post_json("/v1/jobs", &json!({ "url": url })).json();
        let job = serving.wait_for(job["id"].as_str().unwrap(), &["failed", "completed"]);
        let message = job["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    serving.wait(|serving| serving.files("incoming").is_empty());
}
