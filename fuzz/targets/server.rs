//! Requests to a server, as bytes of a connection: HTTP, forms, and jobs as JSON.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use transcribe::cancel::CancelToken;
use transcribe::cli::job_parser;
use transcribe::plan::{InputSettings, ModelRequest, PlanRequest};
use transcribe::run::{GuardOptions, RunContext, RunRequest};
use transcribe::serve::{ApiKeys, ServeOptions, serve};

use super::root;

/// After which a connection counts as stuck.
const MINUTE: Duration = Duration::from_secs(60);
/// What an answer begins with that says that the program is wrong.
const BUG: &[u8] = b"HTTP/1.1 500";

/// Returns an empty state folder of this process, and removes those of processes that have ended.
fn state_folder() -> PathBuf {
    let all = root().join("target/tmp/fuzz-server");
    fs::create_dir_all(&all).expect("a folder");
    for entry in fs::read_dir(&all).expect("readable").flatten() {
        if !Path::new("/proc").join(entry.file_name()).exists() {
            // Another process may do the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    all.join(std::process::id().to_string())
}

fn options() -> (RunRequest, ServeOptions) {
    let model = ModelRequest::named("demo");
    let mut request = RunRequest::new(PlanRequest::new(Vec::new(), InputSettings::new(model.clone())));
    // What the machine has left is not asked here.
    let guard = GuardOptions { memory: 0, disk: 0, ..GuardOptions::default() };
    request.guard = guard.clone();
    let options = ServeOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        state_dir: state_folder(),
        keys: ApiKeys::default(),
        tls: None,
        models: vec![model],
        fallback: None,
        max_upload: 1 << 20,
        max_queue: usize::MAX,
        max_transfers: 64,
        guard,
        allows_urls: false,
        allows_private_addresses: false,
        folders: Vec::new(),
        webhook_secret: None,
        keep: Duration::ZERO,
        keep_bytes: Some(0),
        drain_timeout: Duration::ZERO,
        collector: None,
        parser: job_parser().expect("no options"),
        log: Box::new(|_| {}),
        warn: Box::new(|_| {}),
    };
    (request, options)
}

/// Starts the server once and returns its address.
fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let (listening, listens) = mpsc::channel();
        std::thread::spawn(move || {
            let (cancel, sink) = (CancelToken::new(), |_| {});
            let (request, options) = options();
            let announce = |url: &str| {
                let _ = listening.send(url.to_owned());
            };
            serve(request, options, RunContext::new(&cancel, &sink), &announce).expect("a server");
        });
        let url = listens.recv().expect("the server listens");
        url.trim_start_matches("http://").parse().expect("an address")
    })
}

/// Sends the bytes and reads the answers to the end. They tell the time and the state of the server, so that only their form
/// is looked at.
pub fn requests(bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address()).expect("the server listens");
    stream.set_read_timeout(Some(MINUTE)).expect("a timeout");
    stream.set_write_timeout(Some(MINUTE)).expect("a timeout");
    // The server may have closed before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut block = vec![0; 64 << 10];
    let mut kept = 0;
    loop {
        let read = match stream.read(&mut block[kept..]) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => {
                let kind = error.kind();
                assert_ne!(kind, std::io::ErrorKind::WouldBlock, "the server does not answer");
                break;
            }
        };
        let end = kept + read;
        let is_bug = block[..end].windows(BUG.len()).any(|window| window == BUG);
        assert!(!is_bug, "{}", String::from_utf8_lossy(&block[..end]));
        // The start of a line may be in the next block.
        kept = end.min(BUG.len() - 1);
        block.copy_within(end - kept..end, 0);
    }
    String::new()
}

/// Reads the options of a job.
pub fn job_options(bytes: &[u8]) -> String {
    thread_local! {
        static PARSER: Box<transcribe::serve::ParseSettings> = job_parser().expect("no options");
    }
    let Ok(options) = serde_json::from_slice(bytes) else { return "not an object".to_owned() };
    PARSER.with(|parser| match parser(&options) {
        Ok(settings) => format!("{:?} {:?}", settings.input.decode, settings.export),
        Err(error) => error.chain(),
    })
}
