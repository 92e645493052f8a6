//! Starts the real program, waits for it and stops it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

/// The program without the environment of the tests.
pub fn bare() -> Command {
    let mut program = Command::new(assert_cmd::cargo::cargo_bin!("transcribe"));
    program.env_clear().env("HF_HOME", "/nonexistent").env("HF_ENDPOINT", "http://127.0.0.1:1");
    program.env("XDG_CONFIG_HOME", "/nonexistent");
    // Other devices have tests of their own.
    if cfg!(any(feature = "cuda", feature = "metal")) {
        program.env("TRANSCRIBE_DEVICE", "cpu");
    }
    program
}

/// The program with the demo model and verbose messages.
pub fn demo() -> Command {
    let mut program = bare();
    program.env("TRANSCRIBE_MODEL", "demo").arg("--verbose");
    program
}

/// What every run with the demo model prints.
pub const DEMO_WARNING: &str = "warning: the demo model knows about forty words in one synthesised voice: it is for trying \
    the program out, and its text of any other recording is wrong\n";

/// Returns what a run prints that downloads its model.
pub fn download_notice(model: &str, endpoint: &str, cache: &Path) -> String {
    format!("downloading model {model} from {endpoint} to `{}`\n", cache.display())
}

/// A running program whose stderr is read.
pub struct Running {
    pub child: Child,
    stderr: BufReader<ChildStderr>,
    /// What was read from stderr so far.
    read: String,
}

/// The result of a program.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// All of stderr.
    pub stderr: String,
}

impl Running {
    pub fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, read: String::new() }
    }

    /// Starts it so that it stops at a chosen point; see `src/test_hooks.rs`.
    pub fn start_until(mut program: Command, moment: &str) -> Self {
        program.env("TRANSCRIBE_TEST_AT", moment);
        Self::start(program)
    }

    /// Waits until it prints this to stderr; returns false if it ended before.
    pub fn wait_for(&mut self, text: &str) -> bool {
        loop {
            let start = self.read.len();
            if self.stderr.read_line(&mut self.read).unwrap() == 0 {
                return false;
            }
            if self.read[start..].contains(text) {
                return true;
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    pub fn end(mut self) -> Ended {
        self.stderr.read_to_string(&mut self.read).unwrap();
        Ended { status: self.child.wait().unwrap(), stderr: self.read }
    }
}

pub fn run(program: Command) -> Ended {
    Running::start(program).end()
}

/// The ledger that each folder with outputs contains.
pub const LEDGER: &str = ".transcribe-done";

/// The names in a folder, hidden files included, except for the ledger.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != LEDGER);
    names.sort();
    names
}
