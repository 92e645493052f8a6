//! Answers of a hub: the same bytes to every request, headers and content.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use transcribe::cancel::CancelToken;
use transcribe::models::hub::{DownloadLimits, Hub};
use transcribe::models::source;

use super::Scratch;

/// What the server answers.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// One download at a time.
static DOWNLOAD: Mutex<()> = Mutex::new(());

/// Starts the server once and returns its port.
fn port() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
        port
    })
}

/// Reads the head of a request, answers, and waits until the client has read it. Failures are the client's choice.
fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        head.push(byte[0]);
    }
    let content = ANSWER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let _ = stream.write_all(&content);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Downloads a model, which must write below its cache only.
pub fn answers(bytes: &[u8]) -> String {
    let _alone = DOWNLOAD.lock().unwrap_or_else(PoisonError::into_inner);
    let port = port();
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
    let home = Scratch::new("beside", b"");
    let minute = Duration::from_secs(60);
    let hub = Hub {
        endpoint: format!("http://127.0.0.1:{port}"),
        cache: home.folder().join("cache"),
        token: Some("secret".into()),
        offline: false,
        others: None,
        limits: DownloadLimits {
            period: minute,
            bytes: 1,
            response: minute,
            pause: Duration::ZERO,
            small_file: 1 << 20,
        },
    };
    let found = source::find("owner/name", None, &hub, &CancelToken::new(), &mut |_| {});
    let names =
        std::fs::read_dir(home.folder()).expect("readable").map(|entry| entry.expect("readable").file_name());
    for name in names {
        assert!(name == "beside" || name == "cache", "{name:?} beside the cache");
    }
    match found {
        Ok(found) => found.identity,
        Err(error) => {
            let text = home.shown(error.chain());
            assert!(!text.contains("secret"), "{text}");
            text.replace(&port.to_string(), "")
        }
    }
}
