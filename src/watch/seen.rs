//! What is in the inbox, since when it is as it is, and what became of it. Knows no clock and no disk: both are told.

use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long trouble is waited out before the next attempt; longer each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a failure is remembered of a file that is gone: its share may come back.
const MEMORY: Duration = Duration::from_secs(24 * 3600);

/// What tells that a file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub bytes: u64,
    pub modified: Option<SystemTime>,
    /// Of the file's entry, where the system keeps it: seconds and nanoseconds.
    pub changed: (i64, i64),
    /// Which file it is, where the system says: another one may have come into its place.
    pub place: (u64, u64),
}

impl Look {
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let (changed, place) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.ctime(), metadata.ctime_nsec()), (metadata.dev(), metadata.ino()))
        };
        #[cfg(not(unix))]
        let (changed, place) = ((0, 0), (0, 0));
        Self { bytes: metadata.len(), modified: metadata.modified().ok(), changed, place }
    }
}

/// A file as it was found just now.
#[derive(Debug, Clone)]
pub struct Sight {
    pub path: PathBuf,
    /// The folders between the inbox and the file.
    pub below: PathBuf,
    pub look: Look,
    /// A name beside it says that it is not whole.
    pub is_marked: bool,
}

/// How an input is treated.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a file must stay as it is.
    pub settle: Duration,
    /// How long after a failure an input is tried again; never while it stays as it is if not given.
    pub retry: Option<Duration>,
    /// How long an input is left alone that another process does.
    pub elsewhere: Duration,
    /// Only what was there at the first sight, and did not change then.
    pub once: bool,
}

/// How the work on an input ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    /// The input is of no use as it is.
    Failed,
    /// Not the input's fault.
    Trouble,
    /// Another process is at it.
    Elsewhere,
    /// The file is not there any more.
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Settling {
        since: Instant,
    },
    /// Given to whoever does it, who has not said anything yet.
    Handed,
    Planned,
    Begun,
    Done,
    /// No recording.
    Other,
    Failed {
        again: Option<Instant>,
    },
    PutOff {
        until: Instant,
        why: End,
    },
}

impl State {
    fn is_in_work(self) -> bool {
        matches!(self, State::Handed | State::Planned | State::Begun)
    }
}

#[derive(Debug)]
struct Seen {
    below: PathBuf,
    look: Look,
    /// What it was when it was handed out.
    taken: Look,
    state: State,
    /// Times that it was not as it was before.
    changes: u32,
    /// Attempts that met trouble, one after the other.
    attempts: u32,
    is_first: bool,
    gone_since: Option<Instant>,
}

/// How many files are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    pub settling: usize,
    /// Complete, and not begun yet.
    pub waiting: usize,
    pub in_flight: usize,
    pub done: usize,
    pub failed: usize,
    /// Tried again later, as something else was wrong than the input.
    pub troubled: usize,
    pub elsewhere: usize,
    pub other: usize,
}

/// An input that has ended, to be moved if somebody wants that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub path: PathBuf,
    pub below: PathBuf,
    /// What it was when it was begun.
    pub look: Look,
}

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    terms: Terms,
    seen: BTreeMap<PathBuf, Seen>,
    /// What inputs in work are called in events.
    names: HashMap<String, PathBuf>,
    has_looked: bool,
}

impl Ledger {
    pub fn new(terms: Terms) -> Self {
        Self { terms, seen: BTreeMap::new(), names: HashMap::new(), has_looked: false }
    }

    /// All that is in the inbox now.
    pub fn see(&mut self, sights: Vec<Sight>, now: Instant) {
        let is_first = !std::mem::replace(&mut self.has_looked, true);
        let mut missing: BTreeMap<PathBuf, ()> = self.seen.keys().map(|path| (path.clone(), ())).collect();
        for Sight { path, below, look, is_marked } in sights {
            missing.remove(&path);
            let state = State::Settling { since: now };
            let seen = self.seen.entry(path).or_insert_with(|| {
                let changes = u32::from(is_marked);
                Seen { below, look, taken: look, state, changes, attempts: 0, is_first, gone_since: None }
            });
            seen.gone_since = None;
            let has_changed = std::mem::replace(&mut seen.look, look) != look;
            if (has_changed || is_marked) && !seen.state.is_in_work() {
                seen.state = state;
                seen.attempts = 0;
                seen.changes += 1;
            }
        }
        for path in missing.into_keys() {
            self.miss(&path, now);
        }
    }

    fn miss(&mut self, path: &Path, now: Instant) {
        let Some(seen) = self.seen.get_mut(path) else { return };
        let since = *seen.gone_since.get_or_insert(now);
        let is_kept = match seen.state {
            State::Failed { .. } => now.saturating_duration_since(since) < MEMORY,
            state => state.is_in_work(),
        };
        if !is_kept {
            self.seen.remove(path);
        }
    }

    /// What has been as it is for long enough, the oldest first.
    pub fn settled(&self, now: Instant) -> Vec<PathBuf> {
        let is_due = |seen: &&Seen| {
            let is_meant = !self.terms.once || (seen.is_first && seen.changes == 0 && seen.attempts == 0);
            seen.gone_since.is_none() && is_meant && self.due(seen.state).is_some_and(|due| due <= now)
        };
        let due = self.seen.iter().filter(|(_, seen)| is_due(seen));
        let mut due: Vec<_> = due.map(|(path, seen)| (seen.look.modified, path.clone())).collect();
        due.sort();
        due.into_iter().map(|(_, path)| path).collect()
    }

    fn due(&self, state: State) -> Option<Instant> {
        match state {
            State::Settling { since } => Some(since + self.terms.settle),
            State::PutOff { until, .. } => Some(until),
            State::Failed { again } => again,
            _ => None,
        }
    }

    /// When the next file may be due, if all stay as they are.
    pub fn next_due(&self) -> Option<Instant> {
        self.seen.values().filter_map(|seen| self.due(seen.state)).min()
    }

    /// Somebody still writes into it.
    pub fn busy(&mut self, path: &Path, now: Instant) {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.state = State::Settling { since: now };
            seen.changes += 1;
        }
    }

    /// It is no recording; nothing is done with it while it stays as it is.
    pub fn other(&mut self, path: &Path) {
        self.seen.get_mut(path).into_iter().for_each(|seen| seen.state = State::Other);
    }

    /// Somebody does it from now on. Returns the folders between the inbox and the file.
    pub fn hand_out(&mut self, path: &Path) -> Option<PathBuf> {
        let seen = self.seen.get_mut(path)?;
        seen.state = State::Handed;
        seen.taken = seen.look;
        self.names.insert(path.display().to_string(), path.to_owned());
        Some(seen.below.clone())
    }

    pub fn planned(&mut self, name: &str) {
        self.set(name, State::Planned);
    }

    pub fn begun(&mut self, name: &str) {
        self.set(name, State::Begun);
    }

    fn set(&mut self, name: &str, state: State) {
        let seen = self.names.get(name).and_then(|path| self.seen.get_mut(path));
        seen.into_iter().for_each(|seen| seen.state = state);
    }

    /// Inputs that were handed out and have not ended.
    pub fn in_work(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// The same file as another one, say: whoever does them has nothing to say of it.
    pub fn settle_unspoken(&mut self) {
        let is_unspoken = |path: &PathBuf| self.seen.get(path).is_none_or(|seen| seen.state == State::Handed);
        let unspoken = self.names.iter().filter(|(_, path)| is_unspoken(path)).map(|(name, _)| name.clone());
        for name in unspoken.collect::<Vec<_>>() {
            let path = self.names.remove(&name);
            path.and_then(|path| self.seen.get_mut(&path)).into_iter().for_each(|s| s.state = State::Done);
        }
    }

    /// An input has ended; none if it was not in work. What changed meanwhile is looked at anew.
    pub fn ended(&mut self, name: &str, end: End, now: Instant) -> Option<Ended> {
        let path = self.names.remove(name)?;
        let Terms { retry, elsewhere, .. } = self.terms;
        let seen = self.seen.get_mut(&path)?;
        let ended = Ended { path: path.clone(), below: seen.below.clone(), look: seen.taken };
        if end == End::Gone {
            self.seen.remove(&path);
            return Some(ended);
        }
        seen.attempts = if end == End::Trouble { seen.attempts + 1 } else { 0 };
        seen.state = match end {
            _ if seen.look != seen.taken => State::Settling { since: now },
            End::Failed => State::Failed { again: retry.map(|retry| now + retry) },
            End::Trouble => State::PutOff { until: now + pause(seen.attempts), why: end },
            End::Elsewhere => State::PutOff { until: now + elsewhere, why: end },
            End::Done | End::Gone => State::Done,
        };
        Some(ended)
    }

    /// It is not in the inbox any more.
    pub fn forget(&mut self, path: &Path) {
        self.seen.remove(path);
    }

    /// Of what was there at the first sight nothing is left to be done.
    pub fn is_drained(&self) -> bool {
        let is_open = |seen: &Seen| match seen.state {
            State::Settling { .. } => seen.is_first && seen.changes == 0,
            state => state.is_in_work(),
        };
        self.has_looked && !self.seen.values().any(is_open)
    }

    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for seen in self.seen.values() {
            let count = match seen.state {
                State::Settling { .. } => &mut census.settling,
                State::Handed | State::Planned => &mut census.waiting,
                State::Begun => &mut census.in_flight,
                State::Done => &mut census.done,
                State::Other => &mut census.other,
                State::Failed { .. } => &mut census.failed,
                State::PutOff { why: End::Elsewhere, .. } => &mut census.elsewhere,
                State::PutOff { .. } => &mut census.troubled,
            };
            *count += 1;
        }
        census
    }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
