//! What was finished of one input, kept beside its outputs, so that after an early end the next run goes on.
//!
//! A file of lines, each a checksum and a record in JSON: what the work depends on, then the language and every
//! chunk as soon as it is finished. Lines are only ever added, so that an end at any moment costs at most the
//! last one, and damage costs only what comes after it. Who holds the file holds the outputs: it is locked as
//! long as the input is in work, and removed when the outputs are there.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::sync_parent_folder;
use crate::chunking::ChunkSpan;
use crate::decode::{DecodedChunk, Language, LanguageGuess};

/// No journal is larger: ten hours need a few megabytes.
const LARGEST: u64 = 1 << 30;

/// How often to try again to get a file that others remove meanwhile.
const ATTEMPTS: usize = 100;

/// A chunk that needs no more work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournaledChunk {
    pub index: usize,
    /// With another span it is another chunk.
    #[serde(rename = "place", with = "span_record")]
    pub span: ChunkSpan,
    pub decoded: DecodedChunk,
}

/// A chunk's span as records have it.
mod span_record {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::chunking::ChunkSpan;

    #[derive(Serialize, Deserialize)]
    struct SpanRecord {
        stretch: ChunkSpan,
        follows: bool,
    }

    pub fn serialize<S: Serializer>(span: &ChunkSpan, serializer: S) -> Result<S::Ok, S::Error> {
        SpanRecord { stretch: *span, follows: span.follows }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChunkSpan, D::Error> {
        let SpanRecord { stretch, follows } = SpanRecord::deserialize(deserializer)?;
        Ok(ChunkSpan { follows, ..stretch })
    }
}

/// `W` and `F` are what they say, or references to it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JournalRecord<W, F> {
    #[serde(rename = "work")]
    Fingerprint(W),
    /// Found out by listening, and how likely each one was.
    Language {
        code: String,
        probabilities: Vec<(String, f32)>,
    },
    Finished(F),
    /// Chunks from this one on were found to belong to other audio.
    Discard {
        from: usize,
    },
    /// Everything is finished, and these files are about to be written.
    Writing {
        outputs: Vec<PathBuf>,
    },
}

/// What an earlier run left.
#[derive(Debug, Default)]
pub struct ResumedChunks {
    pub language: Option<LanguageGuess>,
    pub chunks: BTreeMap<usize, JournaledChunk>,
}

/// A journal that is held, and what came to light when it was opened.
#[derive(Debug)]
pub struct OpenedJournal {
    pub journal: Journal,
    pub kept: ResumedChunks,
    /// Why less was kept than was there.
    pub why: Option<&'static str>,
    /// Why nothing can be added; the journal still keeps others away.
    pub fault: Option<io::Error>,
}

#[derive(Debug)]
pub enum LockError {
    /// Another process holds it.
    Locked,
    Io(io::Error),
}

impl From<io::Error> for LockError {
    fn from(error: io::Error) -> Self {
        LockError::Io(error)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes that are good.
    len: u64,
    /// Something in it is worth keeping.
    is_useful: bool,
    /// Its name has been made safe.
    is_safe: bool,
    /// It could not be written, and is left as it is.
    is_mute: bool,
}

impl ResumedChunks {
    /// Takes chunk `index`, unless it lay elsewhere: then nothing from there on can be true.
    pub fn take(&mut self, index: usize, span: &ChunkSpan) -> Result<Option<JournaledChunk>, Discarded> {
        match self.chunks.remove(&index) {
            Some(finished) if finished.span != *span => {
                self.discard(index);
                Err(Discarded)
            }
            found => Ok(found),
        }
    }

    fn discard(&mut self, from: usize) {
        self.chunks.split_off(&from);
        if from == 0 {
            self.language = None;
        }
    }
}

/// See [`ResumedChunks::take`].
#[derive(Debug)]
pub struct Discarded;

impl Journal {
    /// Takes hold of a journal. What is in it is kept if it is of the same work and wanted; else it is begun anew.
    pub fn open(path: &Path, work: &Fingerprint, resume: bool) -> Result<OpenedJournal, LockError> {
        let file = hold(path)?;
        let mut journal =
            Journal { path: path.into(), file, len: 0, is_useful: false, is_safe: false, is_mute: false };
        let content = journal.content()?;
        let (mut kept, mut why) = (ResumedChunks::default(), None);
        if !content.is_empty() {
            let (records, good) = records::<Fingerprint, JournaledChunk>(&content);
            why = match (resume, records.first()) {
                (false, _) => Some("`--no-resume` asks for it"),
                (true, Some(JournalRecord::Fingerprint(before))) => work.change_since(before),
                (true, _) => Some("it is damaged"),
            };
            if why.is_none() {
                journal.len = good as u64;
                kept = keep(records);
                journal.is_useful = kept.language.is_some() || !kept.chunks.is_empty();
                why = (good < content.len()).then_some("its end is damaged");
            }
        }
        let fault = journal.begin(work).err();
        Ok(OpenedJournal { journal, kept, why, fault })
    }

    /// Removes a journal whose outputs are all there: its owner was stopped before it could.
    pub fn sweep(path: &Path) {
        if !path.is_file() {
            return;
        }
        let Ok(file) = hold(path) else { return };
        let mut journal =
            Journal { path: path.into(), file, len: 0, is_useful: true, is_safe: true, is_mute: true };
        let content = journal.content().unwrap_or_default();
        if let Some(JournalRecord::Writing { outputs }) =
            records::<Fingerprint, JournaledChunk>(&content).0.pop()
        {
            journal.is_useful = !outputs.iter().all(|output| output.is_file());
        }
    }

    pub fn add_language(&mut self, guess: &LanguageGuess) -> io::Result<()> {
        let probabilities = guess.probabilities.iter();
        let probabilities = probabilities.map(|(language, p)| (language.code().to_owned(), *p)).collect();
        self.add(&JournalRecord::Language { code: guess.language.code().into(), probabilities })
    }

    pub fn add_finished(&mut self, finished: &JournaledChunk) -> io::Result<()> {
        let measures = |s: &crate::transcript::Segment| {
            [s.start, s.end, s.temperature, s.avg_logprob, s.compression_ratio, s.no_speech_prob]
        };
        // JSON has no words for other numbers. Without a record the chunk is made again, and is the same.
        if !finished.decoded.segments.iter().flat_map(measures).all(f64::is_finite) {
            return Ok(());
        }
        self.add(&JournalRecord::Finished(finished))
    }

    pub fn discard(&mut self, from: usize) -> io::Result<()> {
        self.add(&JournalRecord::Discard { from })
    }

    /// To be said before the first output is written.
    pub fn add_writing(&mut self, outputs: Vec<PathBuf>) -> io::Result<()> {
        self.add(&JournalRecord::Writing { outputs })
    }

    /// Whether there is something to go on with.
    pub fn is_useful(&self) -> bool {
        self.is_useful
    }

    /// All of it is in the outputs.
    pub fn remove(mut self) {
        self.is_useful = false;
    }

    fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        (&self.file).take(LARGEST).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Cuts off what is not good, and says what the work is where that is not said yet.
    fn begin(&mut self, work: &Fingerprint) -> io::Result<()> {
        use io::Seek;
        let begun = self.file.set_len(self.len).and_then(|()| self.file.seek(io::SeekFrom::End(0)));
        if let Err(error) = begun {
            self.is_mute = true;
            return Err(error);
        }
        if self.len == 0 { self.add(&JournalRecord::Fingerprint(work)) } else { Ok(()) }
    }

    /// Appends a line. The first failure is the last one told.
    fn add(&mut self, record: &JournalRecord<&Fingerprint, &JournaledChunk>) -> io::Result<()> {
        if self.is_mute {
            return Ok(());
        }
        let line = line(record)?;
        let written = self.file.write_all(&line).and_then(|()| match record {
            // Whatever stands before it is made safe with it; nothing else is worth the time.
            JournalRecord::Finished(_) => self.make_safe(),
            _ => Ok(()),
        });
        match written {
            Ok(()) => {
                self.len += line.len() as u64;
                self.is_useful |=
                    matches!(record, JournalRecord::Language { .. } | JournalRecord::Finished(_));
            }
            Err(_) => {
                self.is_mute = true;
                // Half a line would be found out by its checksum, too.
                let _ = self.file.set_len(self.len);
            }
        }
        written
    }

    /// Waits until all of it, and the first time its name too, would outlive a power cut.
    fn make_safe(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if !std::mem::replace(&mut self.is_safe, true) {
            sync_parent_folder(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.is_useful {
            // While it is still held, so that nobody can have taken hold of what is removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the file and locks it; a file that nobody else can have, and that is found under its name.
fn hold(path: &Path) -> Result<File, LockError> {
    for _ in 0..ATTEMPTS {
        // A link could lead to somebody else's file.
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is not a regular file").into());
        }
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, path)? => return Ok(file),
            // Whoever had it has removed it between the two steps.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Locked),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    Err(io::Error::other("it is replaced again and again").into())
}

/// Whether the name still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// A checksum, a blank, the record, the end of the line.
fn line(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let record = serde_json::to_string(record)?;
    Ok(format!("{:08x} {record}\n", crc32fast::hash(record.as_bytes())).into_bytes())
}

/// The records of whole and undamaged lines from the first on, and where they end.
fn records<W: DeserializeOwned, F: DeserializeOwned>(content: &[u8]) -> (Vec<JournalRecord<W, F>>, usize) {
    let (mut records, mut good) = (Vec::new(), 0);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = record(line) else { break };
        records.push(record);
        good += line.len();
    }
    (records, good)
}

fn record<R: DeserializeOwned>(line: &[u8]) -> Option<R> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, record) = line.split_once(' ')?;
    let is_right = checksum == format!("{:08x}", crc32fast::hash(record.as_bytes()));
    serde_json::from_str(record).ok().filter(|_| is_right)
}

fn keep(records: Vec<JournalRecord<Fingerprint, JournaledChunk>>) -> ResumedChunks {
    let mut kept = ResumedChunks::default();
    for record in records {
        match record {
            JournalRecord::Fingerprint(_) | JournalRecord::Writing { .. } => {}
            JournalRecord::Language { code, probabilities } => kept.language = guess(&code, probabilities),
            JournalRecord::Finished(finished) => drop(kept.chunks.insert(finished.index, finished)),
            JournalRecord::Discard { from } => kept.discard(from),
        }
    }
    kept
}

fn guess(code: &str, probabilities: Vec<(String, f32)>) -> Option<LanguageGuess> {
    let known = |(code, probability): (String, f32)| Some((Language::from_code(&code)?, probability));
    let probabilities = probabilities.into_iter().filter_map(known).collect();
    Language::from_code(code).map(|language| LanguageGuess { language, probabilities })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Handover;
    use crate::transcript::{DecisionRule, RejectedAttempt, RejectionReason, Segment, WindowDecision, Word};

    fn work(model: &str) -> Fingerprint {
        serde_json::from_value(serde_json::json!({
            "format": 1, "program": "1.0.0", "model": model, "device": "cpu", "options": "none",
            "input": {"bytes": 7, "sha256": "00"},
        }))
        .unwrap()
    }

    /// Numbers that few digits do not tell.
    fn finished(index: usize) -> JournaledChunk {
        let third = (index + 1) as f64 / 3.0;
        let segment = Segment {
            id: 0,
            seek: index * 1_000,
            start: third,
            end: third + 0.1 + 0.2,
            text: " \"quoted\"\n→ \u{1F600}".into(),
            tokens: vec![50364, 1, 2],
            temperature: 0.0,
            avg_logprob: -f64::MIN_POSITIVE * third,
            compression_ratio: 1.0 / 0.3,
            no_speech_prob: f64::from(0.1_f32),
            language: Some("de".into()),
            words: Some(vec![Word {
                word: " \"quoted\"".into(),
                start: third,
                end: third,
                probability: third,
            }]),
        };
        let handover = Handover { seek: index * 1_000 + 999, prompt: vec![1, 2, 3], last_speech: 1.5 };
        let rejected = RejectedAttempt { temperature: third, faults: vec![RejectionReason::Logprob] };
        let decision = WindowDecision {
            rule: DecisionRule::Likeliest,
            rejected: vec![rejected],
            ..WindowDecision::default()
        };
        let first = index * 1_000;
        let (end, follows) = (first + 1_000, index % 2 == 1);
        let span = ChunkSpan { first, end, visible: end, limit: Some(first), follows };
        JournaledChunk {
            index,
            span,
            decoded: DecodedChunk {
                segments: vec![segment],
                tokens: vec![1, 2],
                decisions: vec![decision],
                handover,
            },
        }
    }

    fn german() -> LanguageGuess {
        crate::store::journal::guess("de", vec![("en".into(), 0.1), ("de".into(), 0.9)]).unwrap()
    }

    struct Folder(tempfile::TempDir);

    impl Folder {
        /// With a journal of three chunks in it, finished in another order than that of time.
        fn new() -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            let mut journal = folder.open().journal;
            journal.add_language(&german()).unwrap();
            for index in [1, 0, 2] {
                journal.add_finished(&finished(index)).unwrap();
            }
            folder
        }

        fn path(&self) -> PathBuf {
            self.0.path().join(".talk.transcribe")
        }

        fn open(&self) -> OpenedJournal {
            let opened = Journal::open(&self.path(), &work("tiny"), true).unwrap();
            assert!(opened.fault.is_none());
            opened
        }

        fn kept(&self) -> Vec<usize> {
            self.open().kept.chunks.into_keys().collect()
        }
    }

    #[test]
    fn what_was_finished_comes_back_to_the_last_bit() {
        let folder = Folder::new();
        for _ in 0..2 {
            let opened = folder.open();
            assert!(opened.why.is_none());
            assert_eq!(opened.kept.language, Some(german()));
            assert_eq!(opened.kept.chunks.into_values().collect::<Vec<_>>(), [0, 1, 2].map(finished));
        }
    }

    #[test]
    fn numbers_that_json_does_not_know_are_not_kept_wrongly() {
        let folder = Folder::new();
        let mut strange = finished(3);
        strange.decoded.segments[0].avg_logprob = f64::NEG_INFINITY;
        folder.open().journal.add_finished(&strange).unwrap();
        assert_eq!(folder.kept(), [0, 1, 2]);
    }

    #[test]
    fn a_cut_costs_only_what_is_behind_it() {
        let folder = Folder::new();
        let whole = fs::read(folder.path()).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').map(|at| at + 1).collect();
        assert_eq!(ends.len(), 5);
        for length in 0..=whole.len() {
            fs::write(folder.path(), &whole[..length]).unwrap();
            let good = ends.iter().filter(|end| **end <= length).count();
            let opened = folder.open();
            let chunks: Vec<usize> = opened.kept.chunks.keys().copied().collect();
            let expected: &[usize] = match good {
                0..=2 => &[],
                3 => &[1],
                4 => &[0, 1],
                _ => &[0, 1, 2],
            };
            assert_eq!(
                (chunks.as_slice(), opened.kept.language.is_some()),
                (expected, good >= 2),
                "{length}"
            );
            // What is added then is found, too.
            let mut journal = opened.journal;
            journal.add_finished(&finished(7)).unwrap();
            drop(journal);
            assert_eq!(folder.kept(), [expected, &[7]].concat(), "{length}");
        }
    }

    #[test]
    fn a_wrong_bit_is_seen() {
        let folder = Folder::new();
        let whole = fs::read(folder.path()).unwrap();
        let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(folder.path(), &damaged).unwrap();
            let before = ends.iter().filter(|end| **end < at).count();
            let kept = folder.open().kept;
            assert_eq!(kept.chunks.len(), before.saturating_sub(2), "{at}");
            assert!(kept.chunks.values().all(|chunk| *chunk == finished(chunk.index)), "{at}");
        }
    }

    #[test]
    fn anything_may_lie_there() {
        let folder = Folder::new();
        let tricks = [b"\n\n\n".to_vec(), vec![0; 9_000], b"ffffffff {}\n".to_vec(), vec![0xff; 100]];
        for trick in tricks {
            fs::write(folder.path(), trick).unwrap();
            let opened = folder.open();
            assert!(opened.kept.chunks.is_empty() && opened.why.is_some());
        }
        fs::create_dir(folder.path()).unwrap();
        assert!(matches!(Journal::open(&folder.path(), &work("tiny"), true), Err(LockError::Io(_))));
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_something_else_is_not_followed() {
        let folder = Folder::new();
        let other = folder.0.path().join("other");
        fs::write(&other, "precious").unwrap();
        fs::remove_file(folder.path()).unwrap();
        for target in [&other, &folder.0.path().join("none")] {
            let _ = fs::remove_file(folder.path());
            std::os::unix::fs::symlink(target, folder.path()).unwrap();
            assert!(matches!(Journal::open(&folder.path(), &work("tiny"), false), Err(LockError::Io(_))));
        }
        assert_eq!(fs::read_to_string(other).unwrap(), "precious");
        assert!(!folder.0.path().join("none").exists());
    }

    #[test]
    fn another_work_begins_anew() {
        let change = |work: &mut Fingerprint, field: &str| {
            let mut value = serde_json::to_value(&*work).unwrap();
            match field {
                "input" => value["input"]["bytes"] = 8.into(),
                "format" => value["format"] = 2.into(),
                _ => value[field] = "other".into(),
            }
            *work = serde_json::from_value(value).unwrap();
        };
        for (field, why) in [
            ("format", "another version"),
            ("program", "another version"),
            ("input", "input"),
            ("model", "model"),
            ("device", "device"),
            ("options", "options"),
        ] {
            let folder = Folder::new();
            let mut changed = work("tiny");
            change(&mut changed, field);
            let opened = Journal::open(&folder.path(), &changed, true).unwrap();
            assert!(opened.why.unwrap().contains(why), "{field}");
            assert!(opened.kept.chunks.is_empty() && opened.kept.language.is_none());
        }
        let folder = Folder::new();
        let opened = Journal::open(&folder.path(), &work("tiny"), false).unwrap();
        assert!(opened.why.unwrap().contains("--no-resume") && opened.kept.chunks.is_empty());
    }

    #[test]
    fn a_chunk_that_lies_elsewhere_ends_what_is_of_use() {
        let folder = Folder::new();
        let mut kept = folder.open().kept;
        assert_eq!(kept.take(0, &finished(0).span).unwrap(), Some(finished(0)));
        let elsewhere = ChunkSpan { follows: false, ..finished(1).span };
        assert!(kept.take(1, &elsewhere).is_err());
        assert!(kept.chunks.is_empty() && kept.language.is_some());
        folder.open().journal.discard(1).unwrap();
        assert_eq!(folder.kept(), [0]);
        folder.open().journal.discard(0).unwrap();
        assert!(folder.open().kept.language.is_none());
    }

    #[test]
    fn only_one_can_hold_it() {
        let folder = Folder::new();
        let held = folder.open();
        assert!(matches!(Journal::open(&folder.path(), &work("tiny"), true), Err(LockError::Locked)));
        drop(held);
        assert_eq!(folder.kept(), [0, 1, 2]);
    }

    /// Each removes it when it is done, and others open it all the while.
    #[test]
    fn a_removed_one_is_not_held_by_two() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let folder = Folder(tempfile::tempdir().unwrap());
        let (holders, times) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while times.load(Ordering::SeqCst) < 300 {
                        match Journal::open(&folder.path(), &work("tiny"), true) {
                            Ok(opened) => {
                                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                                std::thread::yield_now();
                                assert_eq!(holders.fetch_sub(1, Ordering::SeqCst), 1);
                                times.fetch_add(1, Ordering::SeqCst);
                                opened.journal.remove();
                            }
                            Err(LockError::Locked) => std::thread::yield_now(),
                            Err(LockError::Io(error)) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        assert!(!folder.path().exists());
    }

    #[test]
    fn an_empty_one_is_not_left_behind() {
        let folder = Folder(tempfile::tempdir().unwrap());
        drop(folder.open());
        assert!(!folder.path().exists());
    }

    #[test]
    fn one_whose_outputs_are_there_is_swept() {
        let folder = Folder::new();
        let output = folder.0.path().join("talk.srt");
        Journal::sweep(&folder.path());
        assert!(folder.path().exists());
        folder.open().journal.add_writing(vec![output.clone()]).unwrap();
        Journal::sweep(&folder.path());
        assert!(folder.path().exists());
        fs::write(output, "").unwrap();
        let held = folder.open();
        Journal::sweep(&folder.path());
        assert!(folder.path().exists());
        drop(held);
        Journal::sweep(&folder.path());
        assert!(!folder.path().exists());
    }

    #[test]
    fn records_keep_the_shape_of_spans() {
        let record = serde_json::to_string(&finished(1)).unwrap();
        let span =
            r#""place":{"stretch":{"first":1000,"end":2000,"visible":2000,"limit":1000},"follows":true}"#;
        assert!(record.contains(span), "{record}");
        assert_eq!(serde_json::from_str::<JournaledChunk>(&record).unwrap(), finished(1));
    }
}
