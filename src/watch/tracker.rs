//! Tracks the files of an inbox: since when each is unchanged, and what became of it. The clock and the file system
//! are left to the caller, who passes the time and the listings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Delay before an input is retried that failed for a passing reason; doubled with each attempt.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// How long the failure of a missing file is remembered: its network share may come back.
const FAILURE_MEMORY: Duration = Duration::from_secs(24 * 3600);

/// The metadata that changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    pub bytes: u64,
    pub modified: Option<SystemTime>,
    /// Seconds and nanoseconds of the last change of the inode, where the system keeps it.
    pub changed: (i64, i64),
    /// Device and inode, where the system has them: another file may have taken the name.
    pub inode: (u64, u64),
}

impl FileState {
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.ctime(), metadata.ctime_nsec()), (metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let (changed, inode) = ((0, 0), (0, 0));
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), changed, inode }
    }
}

/// A file of a listing.
#[derive(Debug, Clone)]
pub struct InboxFile {
    pub path: PathBuf,
    /// The folders between the inbox and the file.
    pub subfolder: PathBuf,
    pub state: FileState,
    /// Its name, or that of a file beside it, says that it is incomplete.
    pub is_incomplete: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct TrackerOptions {
    /// How long a file must stay unchanged to count as complete.
    pub settle: Duration,
    /// How long after a failure an input is retried; `None` waits until it changes.
    pub retry: Option<Duration>,
    /// How long an input is left alone that another process transcribes.
    pub locked_retry: Duration,
    /// Take only files of the first listing that do not change.
    pub once: bool,
}

/// How an input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputEnd {
    Done,
    /// The input itself cannot be transcribed.
    Failed,
    /// It failed for a reason that may pass, such as a full disk.
    Postponed,
    /// Another process transcribes it.
    Locked,
    /// The file no longer exists.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileProgress {
    Settling {
        since: Instant,
    },
    /// Taken by a run that has not planned it yet.
    Taken,
    Planned,
    Started,
    Done,
    NotARecording,
    Failed {
        retry_at: Option<Instant>,
    },
    Postponed {
        until: Instant,
        is_locked: bool,
    },
}

impl FileProgress {
    fn is_active(self) -> bool {
        matches!(self, FileProgress::Taken | FileProgress::Planned | FileProgress::Started)
    }
}

#[derive(Debug)]
struct TrackedFile {
    subfolder: PathBuf,
    state: FileState,
    /// The state in which it was taken.
    taken: FileState,
    progress: FileProgress,
    /// Listings in which it differed from the one before.
    changes: u32,
    /// Consecutive attempts that were postponed.
    attempts: u32,
    is_in_first_listing: bool,
    missing_since: Option<Instant>,
}

/// Numbers of files by their progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrackerCounts {
    pub settling: usize,
    /// Complete, and not started yet.
    pub waiting: usize,
    pub in_flight: usize,
    pub done: usize,
    pub failed: usize,
    pub postponed: usize,
    pub locked: usize,
    pub not_recordings: usize,
}

/// An input that has ended and may be moved out of the inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedInput {
    pub path: PathBuf,
    pub subfolder: PathBuf,
    /// The state in which it was taken.
    pub state: FileState,
}

/// See the module.
#[derive(Debug)]
pub struct InboxTracker {
    options: TrackerOptions,
    files: BTreeMap<PathBuf, TrackedFile>,
    /// Active inputs by their names in events.
    active: HashMap<String, PathBuf>,
    has_listed: bool,
}

impl InboxTracker {
    pub fn new(options: TrackerOptions) -> Self {
        Self { options, files: BTreeMap::new(), active: HashMap::new(), has_listed: false }
    }

    /// Takes in a listing of all files in the inbox.
    pub fn update(&mut self, listing: Vec<InboxFile>, now: Instant) {
        let is_first = !std::mem::replace(&mut self.has_listed, true);
        let mut missing: BTreeSet<PathBuf> = self.files.keys().cloned().collect();
        for InboxFile { path, subfolder, state, is_incomplete } in listing {
            missing.remove(&path);
            let settling = FileProgress::Settling { since: now };
            let file = self.files.entry(path).or_insert_with(|| TrackedFile {
                subfolder,
                state,
                taken: state,
                progress: settling,
                changes: u32::from(is_incomplete),
                attempts: 0,
                is_in_first_listing: is_first,
                missing_since: None,
            });
            file.missing_since = None;
            let has_changed = std::mem::replace(&mut file.state, state) != state;
            if (has_changed || is_incomplete) && !file.progress.is_active() {
                file.progress = settling;
                file.attempts = 0;
                file.changes += 1;
            }
        }
        for path in missing {
            self.mark_missing(&path, now);
        }
    }

    fn mark_missing(&mut self, path: &Path, now: Instant) {
        let Some(file) = self.files.get_mut(path) else { return };
        let since = *file.missing_since.get_or_insert(now);
        let is_kept = match file.progress {
            FileProgress::Failed { .. } => now.saturating_duration_since(since) < FAILURE_MEMORY,
            progress => progress.is_active(),
        };
        if !is_kept {
            self.files.remove(path);
        }
    }

    /// Returns the files that can be started now, the oldest first.
    pub fn due_files(&self, now: Instant) -> Vec<PathBuf> {
        let is_due = |file: &&TrackedFile| {
            let is_eligible =
                !self.options.once || (file.is_in_first_listing && file.changes == 0 && file.attempts == 0);
            let due = self.due_time(file.progress);
            file.missing_since.is_none() && is_eligible && due.is_some_and(|due| due <= now)
        };
        let due = self.files.iter().filter(|(_, file)| is_due(file));
        let mut due: Vec<_> = due.map(|(path, file)| (file.state.modified, path.clone())).collect();
        due.sort();
        due.into_iter().map(|(_, path)| path).collect()
    }

    fn due_time(&self, progress: FileProgress) -> Option<Instant> {
        match progress {
            FileProgress::Settling { since } => Some(since + self.options.settle),
            FileProgress::Postponed { until, .. } => Some(until),
            FileProgress::Failed { retry_at } => retry_at,
            _ => None,
        }
    }

    /// Returns when the next file is due if none changes.
    pub fn next_due(&self) -> Option<Instant> {
        self.files.values().filter_map(|file| self.due_time(file.progress)).min()
    }

    /// Waits for a file again that another process has open for writing.
    pub fn mark_being_written(&mut self, path: &Path, now: Instant) {
        if let Some(file) = self.files.get_mut(path) {
            file.progress = FileProgress::Settling { since: now };
            file.changes += 1;
        }
    }

    /// Ignores a file until it changes.
    pub fn mark_not_a_recording(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.progress = FileProgress::NotARecording;
        }
    }

    /// Marks a file as taken by a run. Returns the folders between the inbox and the file.
    pub fn take(&mut self, path: &Path) -> Option<PathBuf> {
        let file = self.files.get_mut(path)?;
        file.progress = FileProgress::Taken;
        file.taken = file.state;
        self.active.insert(path.display().to_string(), path.to_owned());
        Some(file.subfolder.clone())
    }

    pub fn mark_planned(&mut self, name: &str) {
        self.set_progress(name, FileProgress::Planned);
    }

    pub fn mark_started(&mut self, name: &str) {
        self.set_progress(name, FileProgress::Started);
    }

    fn set_progress(&mut self, name: &str, progress: FileProgress) {
        if let Some(file) = self.active.get(name).and_then(|path| self.files.get_mut(path)) {
            file.progress = progress;
        }
    }

    /// Returns the names of the inputs that were taken and have not ended.
    pub fn active(&self) -> Vec<String> {
        self.active.keys().cloned().collect()
    }

    /// Ends inputs that the last plan left out without an event, such as a second name of the same file.
    pub fn end_unplanned(&mut self) {
        let is_unplanned =
            |path: &PathBuf| self.files.get(path).is_none_or(|file| file.progress == FileProgress::Taken);
        let unplanned: Vec<String> =
            self.active.iter().filter(|(_, path)| is_unplanned(path)).map(|(name, _)| name.clone()).collect();
        for name in unplanned {
            let path = self.active.remove(&name);
            if let Some(file) = path.and_then(|path| self.files.get_mut(&path)) {
                file.progress = FileProgress::Done;
            }
        }
    }

    /// Ends an active input; returns `None` if it was not active. A file that changed meanwhile counts as new.
    pub fn end(&mut self, name: &str, outcome: InputEnd, now: Instant) -> Option<EndedInput> {
        let path = self.active.remove(name)?;
        let TrackerOptions { retry, locked_retry, .. } = self.options;
        let file = self.files.get_mut(&path)?;
        let ended = EndedInput { path: path.clone(), subfolder: file.subfolder.clone(), state: file.taken };
        if outcome == InputEnd::Gone {
            self.files.remove(&path);
            return Some(ended);
        }
        file.attempts = if outcome == InputEnd::Postponed { file.attempts + 1 } else { 0 };
        file.progress = match outcome {
            _ if file.state != file.taken => FileProgress::Settling { since: now },
            InputEnd::Failed => FileProgress::Failed { retry_at: retry.map(|retry| now + retry) },
            InputEnd::Postponed => {
                FileProgress::Postponed { until: now + retry_delay(file.attempts), is_locked: false }
            }
            InputEnd::Locked => FileProgress::Postponed { until: now + locked_retry, is_locked: true },
            InputEnd::Done | InputEnd::Gone => FileProgress::Done,
        };
        Some(ended)
    }

    /// Drops a file that was moved out of the inbox.
    pub fn forget(&mut self, path: &Path) {
        self.files.remove(path);
    }

    /// Returns whether nothing of the first listing is left to do.
    pub fn is_drained(&self) -> bool {
        let is_pending = |file: &TrackedFile| match file.progress {
            FileProgress::Settling { .. } => file.is_in_first_listing && file.changes == 0,
            progress => progress.is_active(),
        };
        self.has_listed && !self.files.values().any(is_pending)
    }

    pub fn counts(&self) -> TrackerCounts {
        let mut counts = TrackerCounts::default();
        for file in self.files.values() {
            let count = match file.progress {
                FileProgress::Settling { .. } => &mut counts.settling,
                FileProgress::Taken | FileProgress::Planned => &mut counts.waiting,
                FileProgress::Started => &mut counts.in_flight,
                FileProgress::Done => &mut counts.done,
                FileProgress::NotARecording => &mut counts.not_recordings,
                FileProgress::Failed { .. } => &mut counts.failed,
                FileProgress::Postponed { is_locked: true, .. } => &mut counts.locked,
                FileProgress::Postponed { .. } => &mut counts.postponed,
            };
            *count += 1;
        }
        counts
    }
}

fn retry_delay(attempts: u32) -> Duration {
    FIRST_RETRY.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_RETRY)
}

#[cfg(test)]
mod tests;
