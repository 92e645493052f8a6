//! Requests that a server is asked for, as bytes of a connection.

use super::root;

/// Returns a request with this body.
fn request(line: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Returns a request with a form: fields, and a file.
fn form(line: &str, fields: &[(&str, &str)], file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.into_bytes());
    }
    body.extend(
        b"--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.wav\"\r\n".as_slice(),
    );
    body.extend(b"Content-Type: audio/wav\r\n\r\n");
    body.extend_from_slice(file);
    body.extend(b"\r\n--xx--\r\n");
    request(line, "multipart/form-data; boundary=xx", &body)
}

/// Returns a second of a recording, which ends before its header says so.
fn recording() -> Vec<u8> {
    let path = root().join("fixtures/audio/u8-8k.wav");
    let mut bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes.truncate(8_000);
    bytes
}

/// Returns one of each kind.
pub fn all() -> Vec<Vec<u8>> {
    let recording = recording();
    let openai = "POST /v1/audio/transcriptions";
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let json = |body: &str| request("POST /v1/jobs", "application/json", body.as_bytes());
    vec![
        form(openai, &[("model", "whisper-1"), ("response_format", "verbose_json")], &recording),
        form(openai, &[("response_format", "srt"), ("language", "en"), ("temperature", "0.2")], b"no audio"),
        form(openai, &[("stream", "true"), ("timestamp_granularities[]", "word")], b"RIFF....WAVE"),
        form("POST /v1/audio/translations", &[("prompt", "a\u{e9}")], b""),
        form("POST /inference", &[("response_format", "vtt"), ("temperature_inc", "0.2")], b"no audio"),
        form("POST /v1/jobs", &[("outputs", "srt, vtt"), ("priority", "-3"), ("webhook", "http://a/")], b"x"),
        form("POST /v1/jobs", &[("options", r#"{"language": "de", "vad": true}"#)], b"x"),
        json(r#"{"path": "/tmp/a.wav", "options": {"language": "de"}, "outputs": ["srt"], "priority": 3}"#),
        json(r#"{"url": "http://example.org/a.mp3", "webhook": "https://example.org/done"}"#),
        [get("/v1/jobs?limit=3&state=done"), get("/v1/models/demo"), get("/metrics")].concat(),
        get("/v1/jobs/0123456789abcdef/transcript?format=srt&max-line-width=20"),
        get("/v1/jobs/0123456789abcdef/recording"),
        request("DELETE /v1/jobs/0123456789abcdef", "text/plain", b""),
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n\
          2\r\n{}\r\n0\r\n\r\n"
            .to_vec(),
    ]
}
