//! The ledger of a folder with outputs: how each finished output was made, kept in a hidden file. By it the next run
//! knows which outputs are up to date, which are not, and which were edited since.
//!
//! A `RecordLog` to which records are added before the outputs are written: an output that matches no record was
//! edited after it was written. A damaged record costs only itself, and a ledger that is missing or cannot be written
//! costs only the knowledge.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, InputDigest};
use super::record_log::{self, RecordLog, records};
use crate::digest::{hex, sha256_hex};
use crate::export::{ExportOptions, Format};

/// In every folder with outputs.
const NAME: &str = ".transcribe-done";

/// An input as it was when its transcription started.
#[derive(Debug, Clone)]
pub struct InputSnapshot {
    pub fingerprint: Fingerprint,
    /// Modification time in nanoseconds.
    pub modified: Option<u64>,
}

/// A record: which outputs were made of an input, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LedgerEntry {
    #[serde(flatten)]
    provenance: Provenance,
    outputs: Vec<LedgerOutput>,
}

/// What outputs depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Provenance {
    program: String,
    /// The model as it was requested.
    name: String,
    /// The checkpoint that stood for it.
    model: String,
    /// A digest; only ever compared.
    options: String,
    input: InputDigest,
    modified: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LedgerOutput {
    name: String,
    bytes: u64,
    sha256: String,
    /// A digest of the options that decide how it looks.
    look: String,
}

/// What an output would be made of now.
#[derive(Debug, Clone)]
pub struct CurrentProvenance<'a> {
    /// The model as it is requested.
    pub name: &'a str,
    /// The checkpoint that stands for it; `None` if that is not known without the network.
    pub model: Option<&'a str>,
    /// The text of [`TextOptions`](super::TextOptions).
    pub options: &'a str,
    pub input: &'a Path,
}

/// What the ledger knows about an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    Missing,
    /// It would be written the same again.
    UpToDate,
    /// It is as it was written, and would be different now: why.
    Outdated(&'static str),
    /// It must not be replaced unless that is requested: why.
    Foreign(&'static str),
}

impl OutputState {
    /// The ledger has it, with other content.
    pub const EDITED: OutputState = OutputState::Foreign("it was edited after it was written");
}

/// Returns when a file was modified, in nanoseconds.
pub fn modified(path: &Path) -> Option<u64> {
    let time = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_nanos() as u64)
}

/// Short, as it is compared only with others of the same folder.
fn short_digest(text: &str) -> String {
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// Returns a name as text, a different one for every name.
fn key(name: &OsStr) -> String {
    name.to_str()
        .map_or_else(|| format!("{}/{}", name.to_string_lossy(), hex(name.as_encoded_bytes())), str::to_owned)
}

/// Records outputs that are about to be written. A failure costs only the knowledge.
pub fn record_outputs(
    input: &InputSnapshot,
    model: &str,
    export: &ExportOptions,
    outputs: &[(Format, &Path, Vec<u8>)],
) {
    let InputSnapshot { fingerprint: Fingerprint { run, input, .. }, modified } = input;
    let provenance = Provenance {
        program: run.program().into(),
        name: model.into(),
        model: run.model().into(),
        options: short_digest(run.options()),
        input: input.clone(),
        modified: *modified,
    };
    let mut folders: BTreeMap<&Path, Vec<LedgerOutput>> = BTreeMap::new();
    for (format, path, content) in outputs {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        folders.entry(folder).or_default().push(LedgerOutput {
            name: key(name),
            bytes: content.len() as u64,
            sha256: sha256_hex(content),
            look: short_digest(&format.fingerprint(export)),
        });
    }
    for (folder, outputs) in folders {
        let _ = append(&folder.join(NAME), &LedgerEntry { provenance: provenance.clone(), outputs });
    }
}

fn append(path: &Path, entry: &LedgerEntry) -> io::Result<()> {
    let mut log = RecordLog::open_shared(path)?;
    log.append(entry)?;
    log.sync()
}

/// Reads the ledger of each folder once.
#[derive(Debug, Default)]
pub struct LedgerReader {
    folders: HashMap<PathBuf, FolderLedger>,
}

/// By the names of outputs, the oldest record first.
type FolderLedger = HashMap<String, Vec<(Arc<Provenance>, LedgerOutput)>>;

impl LedgerReader {
    /// Returns the state of an output of this input.
    pub fn state(
        &mut self,
        path: &Path,
        format: Format,
        export: &ExportOptions,
        current: &CurrentProvenance<'_>,
    ) -> OutputState {
        if !path.is_file() {
            return OutputState::Missing;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return OutputState::Missing;
        };
        let ledger = self.folders.entry(folder.to_owned()).or_insert_with(|| read_folder(&folder.join(NAME)));
        let Some(entries) = ledger.get(&key(name)) else {
            return OutputState::Foreign("it is not in the ledger of its folder");
        };
        let content = fs::read(path).unwrap_or_default();
        let sha256 = sha256_hex(&content);
        let is_same = |output: &LedgerOutput| output.bytes == content.len() as u64 && output.sha256 == sha256;
        let look = short_digest(&format.fingerprint(export));
        let mut changes = Vec::new();
        for (provenance, output) in entries.iter().rev().filter(|(_, output)| is_same(output)) {
            match provenance.change(current, &output.look, &look) {
                None => return OutputState::UpToDate,
                Some(change) => changes.push(change),
            }
        }
        // Of several runs that wrote the same content, the one most like this run gives the reason.
        let least = changes.into_iter().max();
        least.map_or(OutputState::EDITED, |change| OutputState::Outdated(change.reason()))
    }
}

/// What differs from an earlier run; the most important difference first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ProvenanceChange {
    Model,
    Options,
    Look,
    Input,
}

impl ProvenanceChange {
    fn reason(self) -> &'static str {
        match self {
            ProvenanceChange::Model => "the model has changed",
            ProvenanceChange::Options => "options that affect the text have changed",
            ProvenanceChange::Look => "options that affect its formatting have changed",
            ProvenanceChange::Input => "the input has changed",
        }
    }
}

impl Provenance {
    /// Returns the most important difference from what would be made now.
    fn change(
        &self,
        current: &CurrentProvenance<'_>,
        look_then: &str,
        look_now: &str,
    ) -> Option<ProvenanceChange> {
        let is_other_model = match current.model {
            Some(model) => model != self.model,
            // Offline, the same name is taken for the same checkpoint.
            None => current.name != self.name,
        };
        if is_other_model {
            return Some(ProvenanceChange::Model);
        }
        // Another version may have other options; that is no reason to transcribe an archive again.
        if self.program == env!("CARGO_PKG_VERSION") {
            if self.options != short_digest(current.options) {
                return Some(ProvenanceChange::Options);
            }
            if look_then != look_now {
                return Some(ProvenanceChange::Look);
            }
        }
        let is_untouched = self.modified.is_some()
            && self.modified == modified(current.input)
            && current.input.metadata().is_ok_and(|metadata| metadata.len() == self.input.bytes());
        // An input that cannot be read now is reported when it is opened.
        let is_same =
            is_untouched || InputDigest::of(current.input).map_or(true, |digest| digest == self.input);
        (!is_same).then_some(ProvenanceChange::Input)
    }
}

fn read_folder(path: &Path) -> FolderLedger {
    let content = record_log::read(path).unwrap_or_default();
    let mut ledger = FolderLedger::new();
    for LedgerEntry { provenance, outputs } in records(&content).filter_map(|(entry, _)| entry) {
        let provenance = Arc::new(provenance);
        for output in outputs {
            ledger.entry(output.name.clone()).or_default().push((Arc::clone(&provenance), output));
        }
    }
    ledger
}

#[cfg(test)]
mod tests;
