//! Everything that reads bytes from outside, one function for each kind. Shared by cargo-fuzz and by the tests.
//!
//! A target returns what it has found as text, or panics where a promise is broken. [`FuzzTarget::check`] adds what holds
//! for all of them: the same bytes give the same answer, and memory stays in proportion to the bytes.

mod audio;
mod hub;
mod models;
mod plans;
mod server;
mod speakers;
mod state;
mod transcripts;

pub mod forged;
pub mod requests;
pub mod seeds;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// One kind of input.
#[derive(Clone, Copy)]
pub struct FuzzTarget {
    pub name: &'static str,
    run: fn(&[u8]) -> String,
    /// Bytes of memory that it may take in any case, and for each byte of the input.
    memory: (u64, u64),
}

const MB: u64 = 1 << 20;

pub const ALL: [FuzzTarget; 24] = [
    // The tables of the largest codecs have a few megabytes, and a packet of silence expands a thousandfold.
    FuzzTarget { name: "audio", run: audio::decode, memory: (64 * MB, 4096) },
    FuzzTarget { name: "sniff", run: audio::sniff, memory: (64 * MB, 64) },
    FuzzTarget { name: "ffmpeg", run: audio::ffmpeg, memory: (MB, 64) },
    FuzzTarget { name: "config", run: models::config, memory: (MB, 64) },
    FuzzTarget { name: "generation_config", run: models::generation_config, memory: (MB, 64) },
    FuzzTarget { name: "tokenizer", run: models::tokenizer, memory: (64 * MB, 256) },
    FuzzTarget { name: "safetensors", run: models::safetensors, memory: (MB, 64) },
    FuzzTarget { name: "weights_index", run: models::weights_index, memory: (MB, 64) },
    FuzzTarget { name: "weights", run: models::weights, memory: (4 * MB, 128) },
    FuzzTarget { name: "hub", run: hub::answers, memory: (4 * MB, 64) },
    FuzzTarget { name: "import", run: transcripts::import, memory: (4 * MB, 4096) },
    // Scoring a thousand speakers takes a table of all pairs.
    FuzzTarget { name: "rttm", run: speakers::rttm, memory: (64 * MB, 1024) },
    FuzzTarget { name: "stm", run: speakers::stm, memory: (64 * MB, 1024) },
    // With the networks, which are loaded once.
    FuzzTarget { name: "known_voices", run: speakers::known_voices, memory: (256 * MB, 4096) },
    FuzzTarget { name: "speaker_networks", run: speakers::networks, memory: (4 * MB, 64) },
    FuzzTarget { name: "manifest", run: plans::manifest, memory: (4 * MB, 1024) },
    FuzzTarget { name: "list", run: plans::list, memory: (4 * MB, 1024) },
    FuzzTarget { name: "template", run: plans::template, memory: (MB, 1024) },
    FuzzTarget { name: "settings", run: plans::settings, memory: (64 * MB, 4096) },
    FuzzTarget { name: "job_options", run: server::job_options, memory: (64 * MB, 4096) },
    // That of the client: the server has threads of its own.
    FuzzTarget { name: "requests", run: server::requests, memory: (64 * MB, 64) },
    FuzzTarget { name: "journal", run: state::journal, memory: (4 * MB, 64) },
    FuzzTarget { name: "ledger", run: state::ledger, memory: (4 * MB, 64) },
    FuzzTarget { name: "report", run: state::report, memory: (4 * MB, 512) },
];

/// Returns the target with this name.
pub fn named(name: &str) -> Option<FuzzTarget> {
    ALL.into_iter().find(|target| target.name == name)
}

impl FuzzTarget {
    /// Panics if the bytes break a promise.
    pub fn check(&self, bytes: &[u8]) {
        let (mut first, mut second) = (String::new(), String::new());
        let taken = allocation_counter::measure(|| first = (self.run)(bytes));
        let (fixed, each) = self.memory;
        let most = fixed + each * bytes.len() as u64;
        assert!(taken.bytes_max <= most, "{} bytes of memory for {}", taken.bytes_max, bytes.len());
        allocation_counter::opt_out(|| second = (self.run)(bytes));
        assert_eq!(first, second, "the same bytes give another answer");
    }
}

/// A folder with a file.
struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        Self { folder, path }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns a text without the name of the folder, which is another one each time.
    fn shown(&self, text: impl ToString) -> String {
        text.to_string().replace(&self.folder().display().to_string(), "")
    }
}

/// Returns the root of the repository.
fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let is_fuzz = crate_folder.file_name().is_some_and(|name| name == "fuzz");
    if is_fuzz { crate_folder.join("..") } else { crate_folder.to_owned() }
}
