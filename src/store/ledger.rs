//! What each finished output was made of, kept in a hidden file of its folder: so that the next run knows which
//! outputs are as it would make them, which are not, and which a person has changed since.
//!
//! A file of lines, each a checksum and a record in JSON. Lines are only ever added, before the outputs are written:
//! an output that is not what any line says was changed by somebody else. A damaged line costs only itself, and a
//! file that is missing or cannot be written costs only the knowledge.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::fingerprint::{Fingerprint, InputDigest};
use crate::digest::{hex, sha256_hex};
use crate::export::{ExportOptions, Format};

/// In every folder with outputs.
const NAME: &str = ".transcribe-done";

/// Nothing more is read of such a file.
const LARGEST: u64 = 1 << 30;

/// What an input was when it was begun.
#[derive(Debug, Clone)]
pub struct InputSnapshot {
    pub work: Fingerprint,
    /// When it was last changed, in nanoseconds.
    pub modified: Option<u64>,
}

/// A line: what an input was made into, and by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LedgerEntry {
    #[serde(flatten)]
    mark: Provenance,
    outputs: Vec<LedgerOutput>,
}

/// What outputs depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    program: String,
    /// As it was asked for, and what that was.
    name: String,
    model: String,
    /// A digest: they are only compared.
    options: String,
    input: InputDigest,
    modified: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LedgerOutput {
    name: String,
    bytes: u64,
    sha256: String,
    /// A digest of what decides how it looks.
    look: String,
}

/// What an input would be made of now.
#[derive(Debug, Clone)]
pub struct CurrentProvenance<'a> {
    /// As it is asked for.
    pub name: &'a str,
    /// What that is; none if nothing on this machine knows.
    pub model: Option<&'a str>,
    /// In whatever words.
    pub options: &'a str,
    pub input: &'a Path,
}

/// What is known of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    Missing,
    /// It would be made just so.
    Done,
    /// It is as it was made, and would be made otherwise now: why.
    Outdated(&'static str),
    /// It must not be written over unasked: why.
    Foreign(&'static str),
}

impl InputSnapshot {
    /// Of an input whose content is known already.
    pub fn new(work: Fingerprint, modified: Option<u64>) -> Self {
        Self { work, modified }
    }
}

/// When a file was last changed, in nanoseconds.
pub fn modified(path: &Path) -> Option<u64> {
    let time = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|time| time.as_nanos() as u64)
}

/// Short: they are compared with those of one folder alone.
fn short(text: &str) -> String {
    sha256_hex(text.as_bytes())[..16].to_owned()
}

/// A digest of all that decides how a transcript looks in this format.
fn look(format: Format, options: &ExportOptions) -> String {
    short(&format.fingerprint(options))
}

/// A name as a text, another one for every other name.
fn key(name: &OsStr) -> String {
    name.to_str()
        .map_or_else(|| format!("{}/{}", name.to_string_lossy(), hex(name.as_encoded_bytes())), str::to_owned)
}

/// Notes what is about to be written. What goes wrong costs only the knowledge.
pub fn note(
    origin: &InputSnapshot,
    model: &str,
    export: &ExportOptions,
    outputs: &[(Format, &Path, Vec<u8>)],
) {
    let InputSnapshot { work, modified } = origin;
    let mark = Provenance {
        program: work.basis.program().into(),
        name: model.into(),
        model: work.basis.model().into(),
        options: short(work.basis.options()),
        input: work.input.clone(),
        modified: *modified,
    };
    let mut folders: BTreeMap<&Path, Vec<LedgerOutput>> = BTreeMap::new();
    for (format, path, content) in outputs {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { continue };
        folders.entry(folder).or_default().push(LedgerOutput {
            name: key(name),
            bytes: content.len() as u64,
            sha256: sha256_hex(content),
            look: look(*format, export),
        });
    }
    for (folder, outputs) in folders {
        let _ = append(&folder.join(NAME), &LedgerEntry { mark: mark.clone(), outputs });
    }
}

/// Adds a line, also behind one that was cut off.
fn append(path: &Path, record: &LedgerEntry) -> io::Result<()> {
    // A link could lead to somebody else's file.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut file = File::options().read(true).append(true).create(true).open(path)?;
    // Some file systems know no locks; a line is written at once there, too.
    let _ = file.lock();
    let record = serde_json::to_string(record)?;
    let mut line = format!("{:08x} {record}\n", crc32fast::hash(record.as_bytes()));
    let mut last = [b'\n'];
    let length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        line.insert(0, '\n');
    }
    let written = file.write_all(line.as_bytes());
    if written.is_err() {
        // Half a line would be found out by its checksum, too.
        let _ = file.set_len(length);
    }
    written.and_then(|()| file.sync_data())
}

/// The records of the folders that were asked about.
#[derive(Debug, Default)]
pub struct LedgerReader {
    folders: HashMap<PathBuf, Folder>,
}

/// By the names of outputs, in the order of time.
type Folder = HashMap<String, Vec<(Arc<Provenance>, LedgerOutput)>>;

impl LedgerReader {
    /// What is known of an output of this input.
    pub fn state(
        &mut self,
        path: &Path,
        format: Format,
        export: &ExportOptions,
        now: &CurrentProvenance<'_>,
    ) -> OutputState {
        if !path.is_file() {
            return OutputState::Missing;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return OutputState::Missing;
        };
        let records = self.folders.entry(folder.to_owned()).or_insert_with(|| read(&folder.join(NAME)));
        let Some(records) = records.get(&key(name)) else {
            return OutputState::Foreign("nothing tells how it was made");
        };
        let content = fs::read(path).unwrap_or_default();
        let found = sha256_hex(&content);
        let same = records.iter().rev().filter(|(_, o)| o.bytes == content.len() as u64 && o.sha256 == found);
        let mut changes = Vec::new();
        for (mark, output) in same {
            match mark.change(now, &output.look, &look(format, export)) {
                None => return OutputState::Done,
                Some(change) => changes.push(change),
            }
        }
        // Of several runs that made it, the one to tell is the one most like this.
        let nearest = changes.into_iter().max();
        nearest.map_or(OutputState::Foreign("somebody has changed it since it was made"), |change| {
            OutputState::Outdated(change.text())
        })
    }
}

/// What is no longer as it was; the graver come first, and are found first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Model,
    Options,
    Look,
    Input,
}

impl Change {
    fn text(self) -> &'static str {
        match self {
            Change::Model => "the model is another one",
            Change::Options => "options that change the text are others",
            Change::Look => "options that change its look are others",
            Change::Input => "the input has changed",
        }
    }
}

impl Provenance {
    fn change(&self, now: &CurrentProvenance<'_>, look_then: &str, look_now: &str) -> Option<Change> {
        let is_other_model = match now.model {
            Some(model) => model != self.model,
            // Nothing here knows what the name stands for: let it be the same.
            None => now.name != self.name,
        };
        if is_other_model {
            return Some(Change::Model);
        }
        // Another version writes its options in other words; that is no reason to do an archive again.
        if self.program == env!("CARGO_PKG_VERSION") {
            if self.options != short(now.options) {
                return Some(Change::Options);
            }
            if look_then != look_now {
                return Some(Change::Look);
            }
        }
        let is_untouched = self.modified.is_some()
            && self.modified == modified(now.input)
            && now.input.metadata().is_ok_and(|metadata| metadata.len() == self.input.bytes());
        // What cannot be read now will be told by whoever needs it.
        let is_same =
            is_untouched || InputDigest::of(now.input).map_or(true, |content| content == self.input);
        (!is_same).then_some(Change::Input)
    }
}

fn read(path: &Path) -> Folder {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut content));
    let mut folder = Folder::new();
    if read.is_err() {
        return folder;
    }
    for LedgerEntry { mark, outputs } in content.split(|byte| *byte == b'\n').filter_map(record) {
        let mark = Arc::new(mark);
        for output in outputs {
            folder.entry(output.name.clone()).or_default().push((Arc::clone(&mark), output));
        }
    }
    folder
}

fn record(line: &[u8]) -> Option<LedgerEntry> {
    let (checksum, record) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let is_right = checksum == format!("{:08x}", crc32fast::hash(record.as_bytes()));
    serde_json::from_str(record).ok().filter(|_| is_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        /// With an input and two outputs that were noted and written.
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::write(place.at("talk.mp3"), b"sound").unwrap();
            place.write("options", &ExportOptions::default(), b"text");
            place
        }

        fn at(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn note(&self, options: &str, export: &ExportOptions, content: &[u8]) {
            let input = self.at("talk.mp3");
            let work = serde_json::json!({
                "format": 1, "program": env!("CARGO_PKG_VERSION"), "model": "demo@1", "device": "cpu",
                "options": options, "input": InputDigest::of(&input).unwrap(),
            });
            let origin = InputSnapshot::new(serde_json::from_value(work).unwrap(), modified(&input));
            let (srt, txt) = (self.at("talk.srt"), self.at("talk.txt"));
            let outputs = [(Format::Srt, &*srt, content.to_vec()), (Format::Txt, &*txt, content.to_vec())];
            note(&origin, "demo", export, &outputs);
        }

        fn write(&self, options: &str, export: &ExportOptions, content: &[u8]) {
            self.note(options, export, content);
            fs::write(self.at("talk.srt"), content).unwrap();
            fs::write(self.at("talk.txt"), content).unwrap();
        }

        fn states(&self, model: Option<&str>, options: &str, export: &ExportOptions) -> [OutputState; 2] {
            let input = self.at("talk.mp3");
            let now = CurrentProvenance { name: "demo", model, options, input: &input };
            let mut records = LedgerReader::default();
            [("talk.srt", Format::Srt), ("talk.txt", Format::Txt)]
                .map(|(name, format)| records.state(&self.at(name), format, export, &now))
        }

        fn state(&self) -> OutputState {
            self.states(Some("demo@1"), "options", &ExportOptions::default())[0]
        }
    }

    #[test]
    fn what_would_be_made_just_so_is_done_and_anything_else_is_not() {
        let place = Place::new();
        let (plain, wide) = (
            ExportOptions::default(),
            ExportOptions { max_line_width: Some(30), ..ExportOptions::default() },
        );
        assert_eq!(place.states(Some("demo@1"), "options", &plain), [OutputState::Done; 2]);
        assert_eq!(place.states(None, "options", &plain), [OutputState::Done; 2]);
        let other = OutputState::Outdated("the model is another one");
        assert_eq!(place.states(Some("demo@2"), "options", &plain), [other; 2]);
        let other = OutputState::Outdated("options that change the text are others");
        assert_eq!(place.states(Some("demo@1"), "more", &plain), [other; 2]);
        // Plain text has no lines to be made longer.
        let other = OutputState::Outdated("options that change its look are others");
        assert_eq!(place.states(Some("demo@1"), "options", &wide), [other, OutputState::Done]);
        fs::remove_file(place.at("talk.srt")).unwrap();
        assert_eq!(
            place.states(Some("demo@1"), "options", &plain),
            [OutputState::Missing, OutputState::Done]
        );
    }

    #[test]
    fn an_input_is_known_by_its_content() {
        let place = Place::new();
        // A copy with another time.
        let file = File::options().write(true).open(place.at("talk.mp3")).unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(place.state(), OutputState::Done);
        fs::write(place.at("talk.mp3"), b"noise").unwrap();
        assert_eq!(place.state(), OutputState::Outdated("the input has changed"));
    }

    #[test]
    fn what_a_person_has_changed_is_theirs() {
        let place = Place::new();
        fs::write(place.at("talk.srt"), b"better").unwrap();
        assert_eq!(place.state(), OutputState::Foreign("somebody has changed it since it was made"));
        fs::remove_file(place.at(NAME)).unwrap();
        assert_eq!(place.state(), OutputState::Foreign("nothing tells how it was made"));
    }

    #[test]
    fn an_end_between_the_note_and_the_files_makes_nobody_a_stranger() {
        let place = Place::new();
        place.note("others", &ExportOptions::default(), b"other text");
        // The old files are still there, and known as such.
        assert_eq!(place.state(), OutputState::Done);
        let others = place.states(Some("demo@1"), "others", &ExportOptions::default());
        assert_eq!(others, [OutputState::Outdated("options that change the text are others"); 2]);
        fs::write(place.at("talk.srt"), b"other text").unwrap();
        let [srt, txt] = place.states(Some("demo@1"), "others", &ExportOptions::default());
        assert_eq!(
            (srt, txt),
            (OutputState::Done, OutputState::Outdated("options that change the text are others"))
        );
    }

    #[test]
    fn a_damaged_line_costs_only_itself() {
        let place = Place::new();
        let whole = fs::read(place.at(NAME)).unwrap();
        // Cut off by a kill, and then gone on with.
        for length in [1, 9, whole.len() / 2, whole.len() - 1] {
            fs::write(place.at(NAME), &whole[..length]).unwrap();
            if length < whole.len() - 1 {
                assert!(matches!(place.state(), OutputState::Foreign(_)), "{length}");
            }
            place.note("options", &ExportOptions::default(), b"text");
            assert_eq!(place.state(), OutputState::Done, "{length}");
        }
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        fs::write(place.at(NAME), [&flipped[..], b"\xff\xfe rubbish\n", &whole].concat()).unwrap();
        assert_eq!(place.state(), OutputState::Done);
    }

    #[test]
    fn many_may_write_at_once() {
        let place = Place::new();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let place = &place;
                scope.spawn(move || {
                    for line in 0..20 {
                        place.note(&format!("{writer} {line}"), &ExportOptions::default(), b"text");
                    }
                });
            }
        });
        let lines = fs::read(place.at(NAME)).unwrap();
        let records = lines.split_inclusive(|byte| *byte == b'\n');
        assert_eq!(records.filter(|line| record(line.trim_ascii_end()).is_some()).count(), 161);
    }

    #[test]
    #[cfg(unix)]
    fn nothing_is_written_through_a_link_and_no_fault_is_one() {
        let place = Place::new();
        fs::remove_file(place.at(NAME)).unwrap();
        fs::write(place.at("mine"), b"mine").unwrap();
        std::os::unix::fs::symlink("mine", place.at(NAME)).unwrap();
        place.note("options", &ExportOptions::default(), b"text");
        assert_eq!(fs::read(place.at("mine")).unwrap(), b"mine");
        fs::remove_file(place.at(NAME)).unwrap();
        fs::create_dir(place.at(NAME)).unwrap();
        place.note("options", &ExportOptions::default(), b"text");
        assert!(matches!(place.state(), OutputState::Foreign(_)));
    }

    #[test]
    #[cfg(unix)]
    fn odd_names_are_told_apart() {
        use std::os::unix::ffi::OsStrExt;
        let keys =
            [&b"a"[..], b"caf\xe9", b"caf\xe8", "caf\u{fffd}".as_bytes()].map(|b| key(OsStr::from_bytes(b)));
        let unique: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), 4, "{keys:?}");
    }
}
