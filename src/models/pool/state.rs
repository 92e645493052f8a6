//! The decisions of the [pool](super) as a pure state machine: no lock, no thread, no model, and the caller passes the
//! time.
//!
//! Every method is one step that the pool takes under its lock. A step that hands out work (load this, close that) has
//! already changed the state, so no other thread gets the same work.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{ModelKey, PoolPolicy, PoolStats};

/// Identifies one load of one key; never reused.
pub type EntryId = u64;

/// The life cycle of an entry. A model without an entry is unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    Loading,
    Ready,
    Unloading,
    /// Did not unload within its deadline. The entry remains until its unloading ends after all.
    Failed,
}

#[derive(Debug)]
struct PoolEntry {
    key: ModelKey,
    state: ModelState,
    leases: usize,
    idle_since: Instant,
    /// Is not lent any more and unloads as soon as it can.
    retired: bool,
}

impl PoolEntry {
    fn is_idle(&self) -> bool {
        self.state == ModelState::Ready && self.leases == 0
    }

    /// Whether it holds memory, or is about to, in an orderly way.
    fn is_live(&self) -> bool {
        self.state != ModelState::Failed
    }

    fn unload(&mut self) {
        self.state = ModelState::Unloading;
        self.retired = true;
    }
}

/// What a borrower does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BorrowStep {
    /// Use the model; the lease is counted.
    Lease(EntryId),
    /// Load it and report the outcome to [`PoolState::loaded`].
    Load(EntryId),
    /// Close this one, then ask again.
    Close(EntryId),
    /// Ask again after the next change.
    Wait,
}

/// What a loader does with the model it has loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadedStep {
    /// Use it; the lease is counted.
    Lease,
    /// Close it: the pool was force-closed during the load.
    Close,
}

#[derive(Debug)]
pub struct PoolState {
    policy: PoolPolicy,
    entries: BTreeMap<EntryId, PoolEntry>,
    next_id: EntryId,
    stats: PoolStats,
}

impl PoolState {
    pub fn new(policy: PoolPolicy) -> Self {
        Self { policy, entries: BTreeMap::new(), next_id: 0, stats: PoolStats::default() }
    }

    pub fn stats(&self) -> PoolStats {
        let is_resident =
            |entry: &PoolEntry| matches!(entry.state, ModelState::Ready | ModelState::Unloading);
        PoolStats { resident: self.count(is_resident), ..self.stats }
    }

    pub fn leases(&self) -> usize {
        self.entries.values().map(|entry| entry.leases).sum()
    }

    pub fn borrow(&mut self, key: &ModelKey, now: Instant) -> BorrowStep {
        let is_lendable =
            |entry: &PoolEntry| entry.key == *key && entry.state == ModelState::Ready && !entry.retired;
        if let Some((&id, entry)) = self.entries.iter_mut().find(|(_, entry)| is_lendable(entry)) {
            entry.leases += 1;
            self.stats.hits += 1;
            return BorrowStep::Lease(id);
        }
        let is_changing = |entry: &PoolEntry| {
            entry.key == *key && matches!(entry.state, ModelState::Loading | ModelState::Unloading)
        };
        if self.entries.values().any(is_changing) { BorrowStep::Wait } else { self.begin_load(key, now) }
    }

    /// Begins to load a key once the limit allows it.
    fn begin_load(&mut self, key: &ModelKey, now: Instant) -> BorrowStep {
        if self.count(PoolEntry::is_live) >= self.limit() {
            if self.count(|entry| entry.state == ModelState::Unloading) > 0 {
                return BorrowStep::Wait;
            }
            let idle = self.entries.iter_mut().filter(|(_, entry)| entry.is_idle());
            match idle.min_by_key(|(_, entry)| entry.idle_since) {
                Some((&id, entry)) => {
                    entry.unload();
                    self.stats.evictions += 1;
                    return BorrowStep::Close(id);
                }
                // The holder of a lease may itself be waiting for this model: to wait could be a deadlock.
                None => self.stats.exceeded += 1,
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let state = ModelState::Loading;
        let entry = PoolEntry { key: key.clone(), state, leases: 1, idle_since: now, retired: false };
        self.entries.insert(id, entry);
        self.stats.misses += 1;
        BorrowStep::Load(id)
    }

    /// Records a load of `bytes` bytes that took `seconds`.
    pub fn loaded(&mut self, id: EntryId, bytes: u64, seconds: f64) -> LoadedStep {
        self.stats.bytes_loaded += bytes;
        self.stats.load_seconds += seconds;
        // Only its loader moves an entry out of `Loading`.
        let Some(entry) = self.entries.get_mut(&id) else { return LoadedStep::Close };
        if entry.retired {
            entry.leases -= 1;
            entry.unload();
            return LoadedStep::Close;
        }
        entry.state = ModelState::Ready;
        LoadedStep::Lease
    }

    pub fn load_failed(&mut self, id: EntryId) {
        self.entries.remove(&id);
    }

    /// Ends a lease. Returns whether the entry has to be closed now.
    pub fn release(&mut self, id: EntryId, now: Instant) -> bool {
        let is_used = |entry: &PoolEntry| matches!(entry.state, ModelState::Loading | ModelState::Ready);
        let is_over_limit = self.count(is_used) > self.limit();
        let eager = self.policy.eager_release;
        // The entry of a lease that outlived a forced close is gone.
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        entry.leases -= 1;
        entry.idle_since = now;
        if !entry.is_idle() || !(eager || entry.retired || is_over_limit) {
            return false;
        }
        self.stats.evictions += u64::from(!eager && !entry.retired);
        entry.unload();
        true
    }

    /// Keeps the entry from being lent again; its last release closes it.
    pub fn retire(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.retired = true;
        }
    }

    /// Returns the entries to close because they have been idle for longer than the policy allows.
    pub fn close_idle(&mut self, now: Instant) -> Vec<EntryId> {
        let Some(timeout) = self.policy.idle_timeout else { return Vec::new() };
        self.unload_idle(|idle_since| now.saturating_duration_since(idle_since) > timeout)
    }

    /// Returns the entries to close because they have no leases.
    pub fn close_unused(&mut self) -> Vec<EntryId> {
        self.unload_idle(|_| true)
    }

    fn unload_idle(&mut self, since: impl Fn(Instant) -> bool) -> Vec<EntryId> {
        let idle = self.entries.iter_mut().filter(|(_, entry)| entry.is_idle() && since(entry.idle_since));
        idle.map(|(&id, entry)| (entry.unload(), id).1).collect()
    }

    /// Retires everything, leased or not. Returns the entries that the caller has to close or to wait for.
    pub fn force_close(&mut self) -> Vec<EntryId> {
        let live = self.entries.iter_mut().filter(|(_, entry)| entry.is_live());
        let retire = |(&id, entry): (&EntryId, &mut PoolEntry)| {
            match entry.state {
                ModelState::Ready => entry.unload(),
                _ => entry.retired = true,
            }
            id
        };
        live.map(retire).collect()
    }

    /// Records that the closing of an entry has ended, well or not.
    pub fn closed(&mut self, id: EntryId, is_ok: bool) {
        if let Some(entry) = self.entries.remove(&id) {
            // One that is over its deadline was counted then.
            self.stats.close_failures += u64::from(entry.state == ModelState::Unloading && !is_ok);
        }
    }

    /// Records that the deadline of a closing has passed. Returns whether it was still running.
    pub fn close_timed_out(&mut self, id: EntryId) -> bool {
        match self.entries.get_mut(&id) {
            Some(entry) if entry.state == ModelState::Unloading => {
                entry.state = ModelState::Failed;
                self.stats.close_failures += 1;
                true
            }
            _ => false,
        }
    }

    /// Whether the entry is loading, ready or unloading.
    pub fn is_live(&self, id: EntryId) -> bool {
        self.entries.get(&id).is_some_and(PoolEntry::is_live)
    }

    /// The state of an entry; `None` once it is unloaded.
    pub fn state(&self, id: EntryId) -> Option<ModelState> {
        self.entries.get(&id).map(|entry| entry.state)
    }

    pub fn key(&self, id: EntryId) -> Option<&ModelKey> {
        self.entries.get(&id).map(|entry| &entry.key)
    }

    fn count(&self, matches: impl Fn(&PoolEntry) -> bool) -> usize {
        self.entries.values().filter(|entry| matches(entry)).count()
    }

    /// The number of models that may be resident, at least the one in use.
    fn limit(&self) -> usize {
        self.policy.max_models.map_or(usize::MAX, |max| max.max(1))
    }
}
