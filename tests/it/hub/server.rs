//! A local server with the part of the hub's protocol that downloads need, which misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The one repository of the server, and its behavior.
#[derive(Default)]
pub struct Plan {
    pub repository: String,
    pub files: BTreeMap<String, Stored>,
    /// Required in `Authorization`, if set.
    pub token: Option<String>,
    /// Number of transfers of large files that end half way.
    pub cuts: AtomicUsize,
    pub ignores_ranges: bool,
    /// If set, the first transfer of a large file stops half way and reports that here.
    pub stalls: Option<Sender<()>>,
    pub manner: Manner,
}

/// How the server sends small files.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    #[default]
    AtOnce,
    /// The headers byte by byte.
    SlowHeaders,
    /// The content byte by byte.
    SlowContent,
    /// Announces far more than any such file has, and sends it for as long as the client reads.
    Huge,
    /// Sends more than it has announced, for as long as the client reads.
    Endless,
}

/// Between two bytes: a whole file takes seconds.
const SLOW: Duration = Duration::from_millis(2);

pub struct Stored {
    bytes: Vec<u8>,
    /// Whether the file is in the store for large files, under its SHA-256.
    large: bool,
    etag: String,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

pub struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Plan {
    pub fn new(repository: &str) -> Self {
        Self { repository: repository.into(), ..Self::default() }
    }

    /// Serves the demo model under another name.
    pub fn demo(repository: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
        let small = ["config.json", "generation_config.json", "tokenizer.json", "preprocessor_config.json"];
        let plan = small.iter().fold(Self::new(repository), |plan, file| plan.small(file, read(file)));
        plan.large("model.safetensors", read("model.safetensors"))
            .small("README.md", b"# not needed".to_vec())
    }

    pub fn small(mut self, file: &str, bytes: Vec<u8>) -> Self {
        let digest = Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(&bytes).finalize();
        let etag = format!("{digest:x}");
        self.files.insert(file.into(), Stored { bytes, large: false, etag });
        self
    }

    pub fn large(mut self, file: &str, bytes: Vec<u8>) -> Self {
        let etag = format!("{:x}", Sha256::digest(&bytes));
        self.files.insert(file.into(), Stored { bytes, large: true, etag });
        self
    }

    /// Serves content that differs from the announced checksum.
    pub fn corrupt(mut self, file: &str) -> Self {
        let stored = self.files.get_mut(file).unwrap();
        let middle = stored.bytes.len() / 2;
        stored.bytes[middle] ^= 1;
        self
    }
}

impl Server {
    pub fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (requests, stopped) = (log.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // Some tests let the client disconnect.
                let _ = stream.and_then(|stream| answer(&plan, stream, &requests));
            }
        });
        Self { address, log, stop, thread: Some(thread) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    /// Returns the requests to the store for large files.
    pub fn transfers(&self) -> Vec<Request> {
        self.requests().into_iter().filter(|r| r.method == "GET" && r.path.starts_with("/store/")).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(plan: &Plan, stream: TcpStream, log: &Mutex<Vec<Request>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(&stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let mut request = Request { method, path, range: None, authorization: None };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_lowercase().as_str() {
            "range" => request.range = Some(value.trim().to_owned()),
            "authorization" => request.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    log.lock().unwrap().push(request.clone());
    respond(plan, &stream, &request)
}

fn respond(plan: &Plan, stream: &TcpStream, request: &Request) -> std::io::Result<()> {
    if let Some(etag) = request.path.strip_prefix("/store/") {
        let stored = plan.files.values().find(|stored| stored.etag == etag).unwrap();
        let cut = plan.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        let is_first = request.range.is_none();
        let Some(stalled) = plan.stalls.as_ref().filter(|_| is_first && request.method == "GET") else {
            return send(stream, request, stored, "", plan.ignores_ranges, cut);
        };
        send(stream, request, stored, "", plan.ignores_ranges, true)?;
        stalled.send(()).unwrap();
        // Waits until the client disconnects.
        return (&mut &*stream).read_to_end(&mut Vec::new()).map(drop);
    }
    let wanted = plan.token.as_ref().map(|token| format!("Bearer {token}"));
    if wanted.is_some() && request.authorization != wanted {
        return status(stream, "401 Unauthorized", "X-Error-Code: RepoNotFound\r\n");
    }
    let Some(rest) = request.path.strip_prefix(&format!("/{}/resolve/", plan.repository)) else {
        return status(stream, "404 Not Found", "X-Error-Code: RepoNotFound\r\n");
    };
    let (revision, file) = rest.split_once('/').unwrap();
    if revision != "main" && revision != COMMIT {
        return status(stream, "404 Not Found", "X-Error-Code: RevisionNotFound\r\n");
    }
    let Some(stored) = plan.files.get(file) else {
        return status(stream, "404 Not Found", "X-Error-Code: EntryNotFound\r\n");
    };
    let commit = format!("X-Repo-Commit: {COMMIT}\r\n");
    if !stored.large {
        let headers = format!("{commit}ETag: \"{}\"\r\n", stored.etag);
        return match plan.manner {
            Manner::AtOnce => send(stream, request, stored, &headers, true, false),
            manner => send_badly(stream, request, stored, &headers, manner),
        };
    }
    // Uses another name for this machine, because the real store is another host than the hub.
    let store = format!("http://localhost:{}/store/{}", stream.local_addr()?.port(), stored.etag);
    let (etag, size) = (&stored.etag, stored.bytes.len());
    let head = format!("{commit}Location: {store}\r\nX-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\n");
    status(stream, "302 Found", &head)
}

fn status(mut stream: &TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

fn send_badly(
    mut stream: &TcpStream,
    request: &Request,
    stored: &Stored,
    headers: &str,
    manner: Manner,
) -> std::io::Result<()> {
    let length = if manner == Manner::Huge { 1 << 40 } else { stored.bytes.len() };
    let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let slowly = |bytes: &[u8]| {
        bytes.iter().try_for_each(|byte| {
            sleep(SLOW);
            (&mut &*stream).write_all(&[*byte])
        })
    };
    match manner {
        Manner::SlowHeaders => slowly(head.as_bytes())?,
        _ => stream.write_all(head.as_bytes())?,
    }
    if request.method == "HEAD" {
        return Ok(());
    }
    match manner {
        Manner::SlowContent => slowly(&stored.bytes),
        Manner::AtOnce | Manner::SlowHeaders => stream.write_all(&stored.bytes),
        Manner::Huge | Manner::Endless => loop {
            stream.write_all(&[b' '; 1 << 16])?;
        },
    }
}

fn send(
    mut stream: &TcpStream,
    request: &Request,
    stored: &Stored,
    headers: &str,
    whole: bool,
    cut: bool,
) -> std::io::Result<()> {
    let size = stored.bytes.len();
    let start = request.range.as_ref().filter(|_| !whole).map(|range| {
        range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'))
            .unwrap()
            .parse::<usize>()
            .unwrap()
    });
    let (status, range) = match start {
        Some(start) => {
            ("206 Partial Content", format!("Content-Range: bytes {start}-{}/{size}\r\n", size - 1))
        }
        None => ("200 OK", String::new()),
    };
    let body = &stored.bytes[start.unwrap_or(0)..];
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}{range}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if request.method == "HEAD" {
        return Ok(());
    }
    stream.write_all(if cut { &body[..length / 2] } else { body })
}
