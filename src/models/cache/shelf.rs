//! What the [cache](super) decides, as a pure machine: no lock, no thread, no resource, and the time is told.
//!
//! Every function is one step that the cache takes under its lock. A step that hands out work (load this, close
//! that) has already changed the state, so that nobody else gets the same work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::{CachePolicy, CacheStats};
use crate::error::Error;
use crate::models::lifecycle::{Action, Event, State};

/// One loading of one key; never given twice.
pub(super) type Id = u64;

#[derive(Debug)]
struct Entry<K> {
    key: K,
    state: State,
    /// Leases, and those who wait for the load and will have one.
    leases: usize,
    idle_since: Instant,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Whoever asks for the key gets this one.
    Current,
    /// Only those who have it use it on; it goes with the last of them.
    Stale,
    /// It goes as soon as it is loaded, whoever waits for it.
    Doomed,
}

impl<K> Entry<K> {
    fn on(&mut self, event: Event) -> Action {
        let (state, action) = std::mem::take(&mut self.state).step(event);
        self.state = state;
        action
    }

    fn is_idle(&self) -> bool {
        matches!(self.state, State::Ready) && self.leases == 0
    }
}

/// What a borrower has to do next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// It is there, and leased.
    Lease(Id),
    /// Load it, and tell how that went with [`Shelf::loaded`].
    Load(Id),
    /// Close it, then ask again.
    Close(Id),
    /// Ask again after the next change.
    Wait,
    /// The load it waited for, its own or another's, failed.
    Failed(Arc<Error>),
    /// The load it waited for was made void by force; close it if it is said which.
    Void(Option<Id>),
}

/// What a sweep has to close, and what must be over before the sweep is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sweep {
    pub(super) close: Vec<Id>,
    /// Those to close, and those that others load or close meanwhile.
    pub(super) await_end: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Shelf<K> {
    policy: CachePolicy,
    entries: BTreeMap<Id, Entry<K>>,
    next: Id,
    stats: CacheStats,
}

impl<K: Clone + Eq> Shelf<K> {
    pub(super) fn new(policy: CachePolicy) -> Self {
        Self { policy, entries: BTreeMap::new(), next: 0, stats: CacheStats::default() }
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            resident: self.count(|e| matches!(e.state, State::Ready | State::Unloading)),
            ..self.stats
        }
    }

    pub(super) fn leases(&self) -> usize {
        self.entries.values().map(|entry| entry.leases).sum()
    }

    /// `joined` is the borrower's memory between two calls of one borrowing; it begins as `None`.
    pub(super) fn borrow(&mut self, key: &K, joined: &mut Option<Id>, now: Instant) -> Step {
        if let Some(id) = *joined {
            return self.joined(id);
        }
        let current = self.entries.iter_mut().find(|(_, e)| e.key == *key && e.standing == Standing::Current);
        let Some((&id, entry)) = current else {
            // What is on its way out must be out before the key is loaded anew.
            let leaves = |e: &Entry<K>| matches!(e.state, State::Unloading) || e.standing == Standing::Doomed;
            let wait = self.entries.values().any(|entry| entry.key == *key && leaves(entry));
            return if wait { Step::Wait } else { self.begin(key, now) };
        };
        match entry.on(Event::Load) {
            Action::Use => {
                entry.leases += 1;
                self.stats.hits += 1;
                Step::Lease(id)
            }
            Action::Join => {
                entry.leases += 1;
                *joined = Some(id);
                Step::Wait
            }
            _ => Step::Wait,
        }
    }

    /// For one who waits for another's load.
    fn joined(&mut self, id: Id) -> Step {
        let Some(entry) = self.entries.get_mut(&id) else { return Step::Void(None) };
        match &entry.state {
            State::Loading => Step::Wait,
            State::Ready => {
                self.stats.hits += 1;
                Step::Lease(id)
            }
            State::Failed(why) => {
                let why = Arc::clone(why);
                entry.leases -= 1;
                if entry.leases == 0 {
                    self.entries.remove(&id);
                }
                Step::Failed(why)
            }
            State::Unloading | State::Unloaded => {
                entry.leases -= 1;
                Step::Void(None)
            }
        }
    }

    /// Starts to load a key that is not there, once there is room for it.
    fn begin(&mut self, key: &K, now: Instant) -> Step {
        if self.count(|entry| entry.state.is_live()) >= self.room() {
            if self.count(|entry| matches!(entry.state, State::Unloading)) > 0 {
                return Step::Wait;
            }
            let idle = self.entries.iter_mut().filter(|(_, entry)| entry.is_idle());
            match idle.min_by_key(|(_, entry)| entry.idle_since) {
                Some((&id, entry)) => {
                    entry.on(Event::Unload);
                    self.stats.evictions += 1;
                    return Step::Close(id);
                }
                // Whoever holds one may wait for this one: to refuse, or to wait, could be for ever.
                None => self.stats.exceeded += 1,
            }
        }
        let id = self.next;
        self.next += 1;
        let (state, leases, standing) = (State::default(), 1, Standing::Current);
        let mut entry = Entry { key: key.clone(), state, leases, idle_since: now, standing };
        entry.on(Event::Load);
        self.entries.insert(id, entry);
        self.stats.misses += 1;
        Step::Load(id)
    }

    /// The load that [`Step::Load`] asked for has ended, with so many bytes after so many seconds.
    pub(super) fn loaded(&mut self, id: Id, outcome: Result<(u64, f64), Arc<Error>>) -> Step {
        // Only who loads an entry takes it out of its loading.
        let Some(entry) = self.entries.get_mut(&id) else { return Step::Void(None) };
        match outcome {
            Ok((bytes, seconds)) => {
                self.stats.bytes_loaded += bytes;
                self.stats.load_seconds += seconds;
                entry.on(Event::Loaded);
                if entry.standing != Standing::Doomed {
                    return Step::Lease(id);
                }
                entry.leases -= 1;
                entry.on(Event::Unload);
                Step::Void(Some(id))
            }
            Err(why) => {
                entry.on(Event::Failed(Arc::clone(&why)));
                entry.standing = Standing::Stale;
                entry.leases -= 1;
                if entry.leases == 0 {
                    self.entries.remove(&id);
                }
                Step::Failed(why)
            }
        }
    }

    /// A lease has ended. What is to close now, if anything.
    pub(super) fn release(&mut self, id: Id, now: Instant) -> Option<Id> {
        let crowded = self.count(|entry| matches!(entry.state, State::Loading | State::Ready)) > self.room();
        let eager = self.policy.eager_release;
        // What was closed by force is no longer here.
        let entry = self.entries.get_mut(&id)?;
        entry.leases -= 1;
        entry.idle_since = now;
        let goes = eager || entry.standing != Standing::Current || crowded;
        if !goes || !entry.is_idle() {
            return None;
        }
        self.stats.evictions += u64::from(!eager && entry.standing == Standing::Current);
        entry.on(Event::Unload);
        Some(id)
    }

    /// What has been idle for longer than it may.
    pub(super) fn sweep_idle(&mut self, now: Instant) -> Sweep {
        let Some(timeout) = self.policy.idle_timeout else { return Sweep::default() };
        self.sweep_unused(|idle_since| now.saturating_duration_since(idle_since) > timeout)
    }

    /// Takes what nobody uses, since such a time, out of use.
    pub(super) fn sweep_unused(&mut self, since: impl Fn(Instant) -> bool) -> Sweep {
        let mut sweep = Sweep::default();
        for (&id, entry) in &mut self.entries {
            if entry.is_idle() && since(entry.idle_since) {
                entry.on(Event::Unload);
                sweep.close.push(id);
            }
        }
        sweep.await_end.clone_from(&sweep.close);
        sweep
    }

    /// Takes what matches out of use: idle ones now, leased ones when their last lease goes or, by force, now.
    pub(super) fn sweep(&mut self, matches: impl Fn(&K) -> bool, force: bool) -> Sweep {
        let matching: Vec<Id> =
            self.entries.iter().filter(|(_, entry)| matches(&entry.key)).map(|(&id, _)| id).collect();
        let mut sweep = Sweep::default();
        for id in matching {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            if entry.standing == Standing::Current {
                entry.standing = Standing::Stale;
            }
            if !force && entry.leases > 0 && !matches!(entry.state, State::Unloading) {
                continue;
            }
            match entry.on(Event::Unload) {
                Action::Unload => sweep.close.push(id),
                Action::Wait if matches!(entry.state, State::Loading) => entry.standing = Standing::Doomed,
                Action::Wait => (),
                _ => continue,
            }
            sweep.await_end.push(id);
        }
        sweep
    }

    /// The closing of what a step gave to close has ended, or its time has. False if that was known already.
    pub(super) fn closed(&mut self, id: Id, outcome: Result<(), Arc<Error>>) -> bool {
        let Some(mut entry) = self.entries.remove(&id) else { return false };
        self.stats.close_failures += u64::from(outcome.is_err());
        let event = outcome.map_or_else(Event::Failed, |()| Event::Unloaded);
        entry.on(event) != Action::Refuse
    }

    /// Whether nobody loads, uses or closes it any more.
    pub(super) fn is_over(&self, id: Id) -> bool {
        self.entries.get(&id).is_none_or(|entry| !entry.state.is_live())
    }

    pub(super) fn is_ready(&self, id: Id) -> bool {
        self.entries.get(&id).is_some_and(|entry| matches!(entry.state, State::Ready))
    }

    pub(super) fn key(&self, id: Id) -> Option<&K> {
        self.entries.get(&id).map(|entry| &entry.key)
    }

    fn count(&self, matches: impl Fn(&Entry<K>) -> bool) -> usize {
        self.entries.values().filter(|entry| matches(entry)).count()
    }

    /// How many may be there: at least the one in use.
    fn room(&self) -> usize {
        self.policy.max_models.map_or(usize::MAX, |max| max.max(1))
    }
}
