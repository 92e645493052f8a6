//! The state folder: a folder for each job and for each request that waits for its answer.
//!
//! ```text
//! jobs/ID/job.json         what was asked for and what became of it, replaced atomically
//! jobs/ID/input/NAME       the recording, if it was uploaded or downloaded
//! jobs/ID/transcript.json  the result
//! jobs/ID/waveform.json    its waveform, for pages
//! jobs/ID/…                the journal of an unfinished job
//! requests/ID/input/NAME   the upload of a request that is answered at once; removed at the next start
//! incoming/ID/…            an upload that is not complete; removed at the next start
//! ```
//!
//! A job exists once its folder has been moved from `incoming` to `jobs`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::record::{JobId, JobRecord};
use crate::error::{Error, Result};
use crate::store::{sync_parent_folder, write_file};

const RECORD: &str = "job.json";
const TRANSCRIPT: &str = "transcript.json";
const WAVEFORM: &str = "waveform.json";
const INPUT: &str = "input";

/// Bytes of an uploaded file's name that are kept.
const MAX_NAME: usize = 120;

/// The state folder of a running server, which no other server can use meanwhile.
#[derive(Debug)]
pub struct StateDir {
    root: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl StateDir {
    /// Opens or makes the folder, and removes uploads that nobody waits for any more.
    pub fn open(root: &Path) -> Result<Self> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Output { path, source }
        };
        for folder in ["", "jobs", "requests", "incoming"] {
            let folder = root.join(folder);
            create_private(&folder).map_err(at(&folder))?;
        }
        let path = root.join("server.lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Usage {
                    what: format!("`--state-dir {}`", root.display()),
                    why: "is used by another server".into(),
                    hint: Some("stop that server, or choose another folder".into()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        let state = Self { root: root.to_owned(), _lock: lock };
        for folder in ["requests", "incoming"] {
            let folder = state.root.join(folder);
            for entry in fs::read_dir(&folder).map_err(at(&folder))?.flatten() {
                // What stays only takes up space.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(state)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a job, or of a request that is answered at once.
    pub fn folder(&self, id: &JobId, is_kept: bool) -> PathBuf {
        self.root.join(if is_kept { "jobs" } else { "requests" }).join(id.as_str())
    }

    pub fn transcript(&self, id: &JobId) -> PathBuf {
        self.folder(id, true).join(TRANSCRIPT)
    }

    /// Returns where to keep the waveform of a job.
    pub fn waveform(&self, id: &JobId) -> PathBuf {
        self.folder(id, true).join(WAVEFORM)
    }

    /// Returns where to keep the journal of a job.
    pub fn journal(&self, id: &JobId) -> PathBuf {
        self.folder(id, true).join(".transcript.journal")
    }

    /// Makes the folder of an upload, which is removed when the value is dropped.
    pub fn incoming(&self, id: &JobId) -> io::Result<IncomingFolder> {
        let path = self.root.join("incoming").join(id.as_str());
        create_private(&path.join(INPUT))?;
        Ok(IncomingFolder { path: Some(path) })
    }

    /// Accepts a job: from now on it survives any end of the server. Returns its recording, if it has one.
    pub fn accept(&self, incoming: IncomingFolder, record: &JobRecord) -> Result<Option<PathBuf>> {
        if let Some(path) = &incoming.path {
            write_file(&path.join(RECORD), record_bytes(record).as_slice())?;
            if let Some(recording) = recording_in(&path.join(INPUT)) {
                let synced = File::open(&recording).and_then(|file| file.sync_all());
                let synced = synced.and_then(|()| sync_parent_folder(&recording));
                synced.map_err(|source| Error::Output { path: recording, source })?;
            }
        }
        self.keep(incoming, &record.id, true)
    }

    /// Keeps the upload of a request that is answered at once. Returns its recording.
    pub fn keep_request(&self, incoming: IncomingFolder, id: &JobId) -> Result<Option<PathBuf>> {
        self.keep(incoming, id, false)
    }

    fn keep(&self, mut incoming: IncomingFolder, id: &JobId, is_kept: bool) -> Result<Option<PathBuf>> {
        let target = self.folder(id, is_kept);
        let Some(path) = incoming.path.take() else { return Ok(None) };
        let moved = fs::rename(&path, &target).and_then(|()| match is_kept {
            true => sync_parent_folder(&target),
            false => Ok(()),
        });
        if let Err(source) = moved {
            // Either place may hold it.
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_dir_all(&target);
            return Err(Error::Output { path: target, source });
        }
        Ok(recording_in(&target.join(INPUT)))
    }

    /// Returns the folder that a recording is downloaded to.
    pub fn input_folder(&self, id: &JobId) -> PathBuf {
        self.folder(id, true).join(INPUT)
    }

    /// Returns the recording of a job that was uploaded or downloaded.
    pub fn recording(&self, id: &JobId) -> Option<PathBuf> {
        recording_in(&self.input_folder(id))
    }

    /// Stores what has become of a job.
    pub fn save(&self, record: &JobRecord) -> Result<()> {
        write_file(&self.folder(&record.id, true).join(RECORD), record_bytes(record).as_slice())
    }

    /// Reads all jobs, and says what is wrong with those that cannot be read.
    pub fn load(&self) -> Result<(Vec<JobRecord>, Vec<String>)> {
        let folder = self.root.join("jobs");
        let unreadable = |source| Error::Output { path: folder.clone(), source };
        let (mut records, mut problems) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&folder).map_err(unreadable)?.flatten() {
            let path = entry.path().join(RECORD);
            let Some(id) = entry.file_name().to_str().and_then(JobId::parse) else { continue };
            let read = fs::read(&path).map_err(|error| error.to_string());
            let record = read.and_then(|bytes| {
                serde_json::from_slice::<JobRecord>(&bytes).map_err(|error| error.to_string())
            });
            match record {
                Ok(record) if record.id == id && record.is_readable() => records.push(record),
                Ok(_) => {
                    problems.push(format!("`{}` is of a newer version, and is left alone", path.display()))
                }
                Err(why) => problems.push(format!("`{}` is left alone: {why}", path.display())),
            }
        }
        Ok((records, problems))
    }

    /// Removes the files of a job or request.
    pub fn remove(&self, id: &JobId, is_kept: bool) -> io::Result<()> {
        match fs::remove_dir_all(self.folder(id, is_kept)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the bytes that a job takes.
    pub fn size(&self, id: &JobId) -> u64 {
        size_of(&self.folder(id, true))
    }
}

/// The folder of an upload that is not complete. Dropping it removes it.
#[derive(Debug)]
pub struct IncomingFolder {
    path: Option<PathBuf>,
}

impl IncomingFolder {
    /// Returns where to write a recording that was called so; only the safe part of the name is kept.
    pub fn recording(&self, name: &str) -> Option<PathBuf> {
        self.path.as_ref().map(|path| path.join(INPUT).join(safe_name(name)))
    }
}

impl Drop for IncomingFolder {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // What stays is removed at the next start.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn record_bytes(record: &JobRecord) -> Vec<u8> {
    // Records hold only what can be serialized.
    serde_json::to_vec_pretty(record).unwrap_or_default()
}

/// Creates a folder that only the user of the server can read: recordings are nobody else's business.
#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Returns the only file in a folder.
fn recording_in(folder: &Path) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find(|path| path.is_file())
}

fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size_of(&entry.path())).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

/// Returns the last component of a name without anything that means something to a file system.
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = |c: char| if c.is_control() || r#"<>:"|?*"#.contains(c) { '_' } else { c };
    let name: String = last.chars().map(kept).collect();
    let name = name.trim_matches(['.', ' ']);
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 && !stem.is_empty() => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let most = MAX_NAME - extension.len();
    let end = (0..=stem.len().min(most)).rev().find(|end| stem.is_char_boundary(*end)).unwrap_or(0);
    match &stem[..end] {
        "" => format!("recording{extension}"),
        stem => format!("{stem}{extension}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::record::{JobSource, JobState};

    #[test]
    fn names_of_uploads_stay_in_their_folder() {
        let cases = [
            ("talk.mp3", "talk.mp3"),
            ("../../etc/passwd", "passwd"),
            ("..", "recording"),
            ("", "recording"),
            (".hidden.wav", "hidden.wav"),
            (r"C:\Users\anna\talk.wav", "talk.wav"),
            ("a\0b\nc.mp3", "a_b_c.mp3"),
            ("Gespräch über Züge.m4a", "Gespräch über Züge.m4a"),
            (".mp3", "mp3"),
        ];
        for (name, expected) in cases {
            assert_eq!(safe_name(name), expected, "{name:?}");
        }
        let long = safe_name(&format!("{}.flac", "ü".repeat(500)));
        assert!(long.len() <= MAX_NAME && long.ends_with("ü.flac"), "{long}");
    }

    #[test]
    fn accepted_jobs_are_there_after_a_restart_and_uploads_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let open = || StateDir::open(folder.path()).unwrap();
        let state = open();
        assert!(matches!(StateDir::open(folder.path()), Err(Error::Usage { .. })));
        let (kept, lost) = (JobId::new(), JobId::new());
        let incoming = state.incoming(&kept).unwrap();
        fs::write(incoming.recording("talk.mp3").unwrap(), "audio").unwrap();
        let record = JobRecord::new(kept.clone(), JobSource::Upload("talk.mp3".into()), JobState::Queued);
        let recording = state.accept(incoming, &record).unwrap().unwrap();
        assert_eq!(fs::read(&recording).unwrap(), b"audio");
        // As if the server was killed during the upload.
        std::mem::forget(state.incoming(&lost).unwrap());
        fs::create_dir_all(folder.path().join("jobs").join(JobId::new().as_str())).unwrap();
        drop(state);
        let state = open();
        let (records, problems) = state.load().unwrap();
        assert_eq!((records, problems.len()), (vec![record], 1));
        assert_eq!(state.recording(&kept), Some(recording));
        assert!(fs::read_dir(folder.path().join("incoming")).unwrap().next().is_none());
        assert!(state.size(&kept) > 5);
        state.remove(&kept, true).unwrap();
        assert_eq!(state.size(&kept), 0);
    }

    #[test]
    fn a_dropped_upload_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let incoming = state.incoming(&JobId::new()).unwrap();
        fs::write(incoming.recording("talk.mp3").unwrap(), "audio").unwrap();
        drop(incoming);
        assert!(fs::read_dir(folder.path().join("incoming")).unwrap().next().is_none());
    }
}
