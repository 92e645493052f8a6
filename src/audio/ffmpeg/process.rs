//! Runs `ffmpeg` on one file: what it is allowed to do, what it says, and its end.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::foreign::DEMUXERS;
use super::log::{FfmpegLog, SharedLog};
use crate::audio::AudioOptions;

/// How long a process may take to end after the end of its output.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// Bytes of a line of its log that are read; the rest of such a line is dropped.
const MAX_LINE: u64 = 4_096;

/// What to read.
pub(in crate::audio) enum FfmpegInput {
    File(PathBuf),
    /// A file without a name.
    Open(File),
}

/// A running `ffmpeg`, which is killed when this is dropped.
pub(super) struct FfmpegProcess {
    child: Child,
    log: SharedLog,
    logger: Option<JoinHandle<()>>,
}

/// Finds the program in the folders of `PATH`.
pub fn find_ffmpeg() -> Option<PathBuf> {
    let name = format!("ffmpeg{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH")?;
    // A relative folder could be one that somebody has put recordings into.
    let folders = env::split_paths(&path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(&name)).find(|program| is_program(program))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

impl FfmpegProcess {
    /// Starts the program; the audio comes as a WAV stream in the file's own rate and channels.
    pub(super) fn start(
        program: &Path,
        input: FfmpegInput,
        options: &AudioOptions,
    ) -> io::Result<(Self, ChildStdout)> {
        let (url, stdin) = match input {
            FfmpegInput::File(path) => (file_url(&std::path::absolute(path)?), Stdio::null()),
            FfmpegInput::Open(mut file) => {
                file.rewind()?;
                (OsString::from(if cfg!(unix) { "file:/dev/stdin" } else { "pipe:0" }), file.into())
            }
        };
        let mut command = Command::new(program);
        command
            .args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"])
            // Nothing but this file: no network, no playlist that names others.
            .args(["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, "-i"])
            .arg(url)
            .args(["-map", &format!("0:a:{}", options.track.unwrap_or(0)), "-map_metadata", "-1"])
            .args(["-fflags", "+bitexact", "-flags:a", "+bitexact", "-c:a", "pcm_f32le", "-f", "wav"])
            .arg("pipe:1")
            // It would write its log to a file.
            .env_remove("FFREPORT")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        detach(&mut command);
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let log = SharedLog::default();
        let mut process = Self { child, log: log.clone(), logger: None };
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            return Err(io::Error::other("its output is not connected"));
        };
        let logger =
            thread::Builder::new().name("ffmpeg log".into()).spawn(move || read_log(stderr, &log))?;
        process.logger = Some(logger);
        Ok((process, stdout))
    }

    /// Returns what it has said so far.
    pub(super) fn log(&self) -> FfmpegLog {
        self.log.get()
    }

    /// Waits until it has described the file, which it does before it writes; not for long, unless `check` fails.
    pub(super) fn wait_for_description(&self, check: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let start = Instant::now();
        let is_silent = || self.logger.as_ref().is_none_or(JoinHandle::is_finished);
        while !self.log().is_started && !is_silent() && start.elapsed() < PATIENCE {
            check()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits for the end, unless `check` fails, and kills what takes too long. Everything it said is in the log then.
    pub(super) fn wait(&mut self, check: impl Fn() -> io::Result<()>) -> io::Result<ExitStatus> {
        let start = Instant::now();
        let status = loop {
            check()?;
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                self.child.kill()?;
                break self.child.wait()?;
            }
            thread::sleep(POLL);
        };
        self.join_logger();
        Ok(status)
    }

    fn join_logger(&mut self) {
        // What it started itself may hold the pipe open; then the thread ends with that.
        let deadline = Instant::now() + PATIENCE;
        while self.logger.as_ref().is_some_and(|logger| !logger.is_finished()) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if let Some(logger) = self.logger.take_if(|logger| logger.is_finished()) {
            // A panic in it loses a message at most.
            let _ = logger.join();
        }
    }
}

impl Drop for FfmpegProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_logger();
    }
}

/// Prefixes the protocol, so that a colon in a name is not taken for one.
fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Keeps an interrupt from the terminal, which is for this program to handle, from the child.
#[cfg(unix)]
fn detach(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn detach(_command: &mut Command) {}

/// Reads what the program says; what a line has beyond the limit is dropped.
pub(super) fn read_log(stderr: impl Read, log: &SharedLog) {
    let mut from = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut is_rest = false;
    loop {
        line.clear();
        match (&mut from).take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if is_rest => {}
            Ok(_) => log.add(String::from_utf8_lossy(&line).trim_end()),
        }
        is_rest = !line.ends_with(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_long_line_is_dropped() {
        let log = SharedLog::default();
        // The text of a tag, at whose 4096th byte something begins that looks like a message.
        let start = format!("[info]     title           : {}", "x".repeat(4_096));
        let text = format!("{}[error] forged\n[error] real\n", &start[..4_096]);
        read_log(text.as_bytes(), &log);
        assert_eq!(log.get().first_error.as_deref(), Some("real"));
        assert_eq!(log.get().errors, 1);
    }
}
