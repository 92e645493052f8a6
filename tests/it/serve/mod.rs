//! `transcribe serve`: the real server with the demo model, asked over HTTP.

mod access;
mod fallback;
mod idempotency;
mod jobs;
mod openai;
mod outgoing;
mod pressure;
mod restart;
mod telemetry;
mod trials;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::Response;

use crate::program::{Ended, bare, fixture};

/// How long something may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server. Dropping it kills it.
pub struct Serving {
    process: Option<ServerProcess>,
    url: String,
    agent: Agent,
    folder: TempDir,
    args: Vec<String>,
    /// The size of a file system of its own for the state.
    disk: Option<String>,
}

/// The process of a server, and a thread that reads what it prints, lest it waits for a reader.
struct ServerProcess {
    child: Child,
    printed: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl ServerProcess {
    fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let printed = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&printed);
        let read = move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                all.lock().unwrap().push_str(&line);
                line.clear();
            }
        };
        Self { child, printed, reader: std::thread::spawn(read) }
    }

    fn end(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        self.reader.join().unwrap();
        (status, std::mem::take(&mut *self.printed.lock().unwrap()))
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    fn new(response: Response<ureq::Body>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        body.as_reader().read_to_end(&mut bytes).unwrap();
        Self { status: parts.status.as_u16(), headers: parts.headers, body: bytes }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks the status and the code of an error, and returns its message.
    #[track_caller]
    pub fn error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        error["message"].as_str().unwrap().to_owned()
    }
}

/// A form to send.
#[derive(Default, Clone)]
pub struct Form(Vec<u8>);

pub const BOUNDARY: &str = "a-boundary-that-no-recording-has";

impl Form {
    pub fn text(mut self, name: &str, value: &str) -> Self {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        self.0.extend(head.into_bytes());
        self
    }

    pub fn bytes(mut self, name: &str, content: &[u8]) -> Self {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        );
        self.0.extend(head.into_bytes());
        self.0.extend(content);
        self.0.extend(b"\r\n");
        self
    }

    /// Adds a recording of the fixtures.
    pub fn file(self, path: &str) -> Self {
        let path = fixture(path);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        self.bytes(&name, &std::fs::read(&path).unwrap())
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        self.0
    }
}

/// A form with the short recording.
pub fn short() -> Form {
    Form::default().file("long/short_en.flac")
}

impl Serving {
    pub fn start(args: &[&str]) -> Self {
        Self::start_at(args, None)
    }

    /// Starts it so that it stops at a chosen point.
    pub fn start_at(args: &[&str], moment: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = args.iter().map(ToString::to_string).collect();
        let mut serving =
            Self { process: None, url: String::new(), agent: agent(), folder, args, disk: None };
        serving.launch(moment);
        serving
    }

    /// Starts it with its state on a small file system of its own, which ends with it; none without the right to mount one.
    pub fn start_on_small_disk(size: &str, args: &[&str]) -> Option<Self> {
        let may_mount = ["-m", "/bin/mount", "-t", "tmpfs", "none", "/mnt"];
        let tried = Command::new("/usr/bin/unshare").args(may_mount).stderr(Stdio::null()).status();
        tried.ok().filter(ExitStatus::success)?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        let args = args.iter().map(ToString::to_string).collect();
        let disk = Some(size.to_owned());
        let mut serving = Self { process: None, url: String::new(), agent: agent(), folder, args, disk };
        serving.launch(None);
        Some(serving)
    }

    /// Starts it, or starts it again with the same state.
    pub fn launch(&mut self, moment: Option<&str>) {
        let mut program = bare();
        program.env("TRANSCRIBE_MODEL", "demo");
        program
            .args(["serve", "--listen", "0", "--verbose", "--state-dir"])
            .arg(self.folder.path().join("state"))
            .args(&self.args);
        if let Some(moment) = moment {
            program.env("TRANSCRIBE_TEST_AT", moment);
        }
        if let Some(size) = &self.disk {
            program = on_small_disk(&program, size, &self.folder.path().join("state"));
        }
        self.process = Some(ServerProcess::start(program));
        let line = self.printed_line("listening on ");
        self.url = line.trim().rsplit(' ').next().unwrap().trim_end_matches(['"', '}']).to_owned();
    }

    /// Waits until the server prints a line with this text, and returns it.
    #[track_caller]
    pub fn printed_line(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let printed = self.printed();
            if let Some(line) = printed.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(start.elapsed() < PATIENCE, "`{text}` is not printed:\n{printed}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns what the server has printed.
    pub fn printed(&self) -> String {
        self.process.as_ref().unwrap().printed.lock().unwrap().clone()
    }

    /// Waits until recordings are accepted.
    pub fn ready(self) -> Self {
        self.wait(|serving| serving.get("/ready").status == 200);
        self
    }

    pub fn state(&self) -> PathBuf {
        let state = self.folder.path().join("state");
        match &self.disk {
            // Only the server sees its file system.
            Some(_) => PathBuf::from(format!("/proc/{}/root{}", self.pid(), state.display())),
            None => state,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().child.id()
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::new(self.agent.get(self.at(path)).call().unwrap())
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request =
            headers.iter().fold(self.agent.get(self.at(path)), |r, (name, value)| r.header(*name, *value));
        Answer::new(request.call().unwrap())
    }

    pub fn delete(&self, path: &str) -> Answer {
        Answer::new(self.agent.delete(self.at(path)).call().unwrap())
    }

    pub fn post(&self, path: &str, form: Form) -> Answer {
        self.post_with(path, form, &[])
    }

    pub fn post_with(&self, path: &str, form: Form, headers: &[(&str, &str)]) -> Answer {
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self.agent.post(self.at(path)).header("content-type", kind);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::new(request.send(&form.finish()[..]).unwrap())
    }

    pub fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.post(self.at(path)).header("content-type", "application/json");
        Answer::new(request.send(&body.to_string()[..]).unwrap())
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Submits a job and returns its name.
    #[track_caller]
    pub fn submit(&self, form: Form) -> String {
        let answer = self.post("/v1/jobs", form);
        assert_eq!(answer.status, 202, "{}", answer.text());
        let job = answer.json();
        assert_eq!(
            answer.header("location"),
            Some(format!("/v1/jobs/{}", job["id"].as_str().unwrap()).as_str())
        );
        job["id"].as_str().unwrap().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).json()
    }

    /// Waits until a job is in one of these states, and returns it.
    #[track_caller]
    pub fn wait_for(&self, id: &str, states: &[&str]) -> Value {
        self.wait(|serving| states.contains(&serving.job(id)["state"].as_str().unwrap_or_default()));
        self.job(id)
    }

    #[track_caller]
    pub fn wait(&self, mut is_done: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is_done(self) {
            assert!(start.elapsed() < PATIENCE, "it takes too long");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks the server to end.
    pub fn signal(&self) {
        let kill = format!("kill -TERM {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Asks the server to end, and returns how it ended.
    pub fn terminate(&mut self) -> Ended {
        self.signal();
        self.end()
    }

    /// Waits for the end of a server that was asked to end.
    pub fn end(&mut self) -> Ended {
        let (status, stderr) = self.process.take().unwrap().end();
        Ended { status, stderr }
    }

    pub fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.child.kill().unwrap();
        process.end();
    }

    /// Returns the files below a folder of the state, relative to it.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let root = self.state().join(folder);
        let mut found: Vec<String> = walkdir::WalkDir::new(&root)
            .into_iter()
            .flatten()
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| entry.path().strip_prefix(&root).unwrap().display().to_string())
            .collect();
        found.sort();
        found
    }
}

/// Returns a command that mounts a file system at a folder, seen by the program alone, and becomes the program.
fn on_small_disk(program: &Command, size: &str, folder: &Path) -> Command {
    let script = format!("/bin/mount -t tmpfs -o size={size} none '{}' && exec \"$@\"", folder.display());
    let mut wrapped = Command::new("/usr/bin/unshare");
    wrapped.args(["-m", "/bin/sh", "-c", &script, "sh"]).arg(program.get_program()).args(program.get_args());
    wrapped.env_clear();
    wrapped.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}

/// Sends a form from another thread.
pub fn ask(url: &str, path: &str, form: Form) -> Answer {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = agent().post(format!("{url}{path}")).header("content-type", kind);
    Answer::new(request.send(&form.finish()[..]).unwrap())
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            process.end();
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).proxy(None).build().into()
}

/// Returns the output of the command line for a recording of the fixtures.
pub fn printed(recording: &Path, args: &[&str]) -> Vec<u8> {
    let mut program = bare();
    program.env("TRANSCRIBE_MODEL", "demo").current_dir(recording.parent().unwrap());
    program.arg(recording.file_name().unwrap()).args(["--output-dir", "-"]).args(args);
    let output = program.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
