//! Loaded models that are shared: who uses which, how long they stay, and how they go.
//!
//! A [`Cache`] lends what it has loaded. Whoever borrows gets a [`Lease`]; a thing without leases is idle and stays
//! warm until the [policy](CachePolicy), an [invalidation](Cache::invalidate) or [`Cache::clear`] closes it.
//! What to do is decided by the [shelf](shelf), which is pure; here are the lock, the waiting and the threads.
//!
//! Loading runs on the borrower's thread. Closing runs on a thread of its own, so that nobody waits for it longer
//! than the deadline. Whoever asked for the closing waits for that thread and joins it. If the deadline passes
//! first, the failure is told and the cache keeps the thread, to join it at a later closing or when the cache is
//! dropped; one that has not ended even then is left to the end of the process.

mod shelf;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, catch_panic};
use shelf::{Id, Shelf, Step, Sweep};

/// What a cache can hold.
pub trait Resource: Send + Sync + 'static {
    /// Gives back what it holds; called once. Should give up at the deadline, when nobody waits for it any more.
    fn close(&self, deadline: Instant) -> Result<()>;

    fn bytes(&self) -> u64;
}

/// What names a resource, to the cache and in messages.
pub trait Key: Clone + Eq + fmt::Display + Send + Sync + 'static {}

impl<K: Clone + Eq + fmt::Display + Send + Sync + 'static> Key for K {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// Close as soon as the last lease goes, rather than stay warm.
    pub eager_release: bool,
    /// Before one more than this is loaded, the idle one that was used longest ago is closed. With all of them in
    /// use there may be more, until a lease goes.
    pub max_models: Option<usize>,
    /// How long one may be idle when [`Cache::close_idle`] is called.
    pub idle_timeout: Option<Duration>,
    pub unload_deadline: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        let unload_deadline = Duration::from_secs(10);
        Self { eager_release: false, max_models: None, idle_timeout: None, unload_deadline }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CacheStats {
    /// Leases of what was there, or was being loaded for another.
    pub hits: u64,
    /// Loads that were begun.
    pub misses: u64,
    /// Closed for want of room.
    pub evictions: u64,
    /// Loads in excess of `max_models`, as all were in use.
    pub exceeded: u64,
    /// Of the loads that succeeded.
    pub load_seconds: f64,
    pub bytes_loaded: u64,
    pub close_failures: u64,
    /// Now loaded.
    pub resident: usize,
}

pub struct Cache<K: Key, T: Resource>(Arc<Shared<K, T>>);

struct Shared<K: Key, T> {
    inner: Mutex<Inner<K, T>>,
    /// Told whenever a load or a closing has ended: nobody waits for anything else.
    ended: Condvar,
    unload_deadline: Duration,
    on_failure: Box<dyn Fn(&Error) + Send + Sync>,
}

struct Inner<K, T> {
    shelf: Shelf<K>,
    resources: HashMap<Id, Arc<T>>,
    /// Threads whose closing took longer than it may.
    overdue: Vec<JoinHandle<()>>,
}

impl<K: Key, T: Resource> Cache<K, T> {
    /// `on_failure` is told of every closing that fails or takes too long, on whichever thread that is seen.
    pub fn new(policy: CachePolicy, on_failure: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        let shelf = Shelf::new(policy);
        let inner = Mutex::new(Inner { shelf, resources: HashMap::new(), overdue: Vec::new() });
        let (ended, on_failure) = (Condvar::new(), Box::new(on_failure));
        Self(Arc::new(Shared { inner, ended, unload_deadline: policy.unload_deadline, on_failure }))
    }

    /// Lends what is there, or loads it. Who asks for a key that is being loaded waits for that load and shares its
    /// outcome; other keys are not held up. May take as long as closing another, when there is no room.
    pub fn borrow(&self, key: K, load: impl FnOnce() -> Result<T>) -> Result<Lease<K, T>> {
        let mut joined = None;
        let mut inner = self.0.lock();
        loop {
            match inner.shelf.borrow(&key, &mut joined, Instant::now()) {
                Step::Wait => inner = self.0.wait(inner),
                Step::Close(id) => {
                    drop(inner);
                    self.0.close_one(id);
                    inner = self.0.lock();
                }
                Step::Load(id) => {
                    drop(inner);
                    return self.load(id, key, load);
                }
                Step::Lease(id) => {
                    let resource = inner.resources.get(&id).map(Arc::clone);
                    drop(inner);
                    return Ok(self.lease(id, key, resource));
                }
                Step::Failed(why) => {
                    drop(inner);
                    return Err(shared(why));
                }
                Step::Void(_) => return Err(Error::BackendClosed { what: key.to_string() }),
            }
        }
    }

    fn load(&self, id: Id, key: K, load: impl FnOnce() -> Result<T>) -> Result<Lease<K, T>> {
        let start = Instant::now();
        let loaded = catch_panic("loading a model", || {
            let resource = load()?;
            let bytes = resource.bytes();
            Ok((Arc::new(resource), bytes))
        });
        let seconds = start.elapsed().as_secs_f64();
        let (resource, outcome) = match loaded {
            Ok((resource, bytes)) => (Some(resource), Ok((bytes, seconds))),
            Err(error) => (None, Err(Arc::new(error))),
        };
        let step = {
            let mut inner = self.0.lock();
            inner.resources.extend(resource.iter().map(|resource| (id, Arc::clone(resource))));
            let step = inner.shelf.loaded(id, outcome);
            self.0.ended.notify_all();
            step
        };
        match step {
            Step::Failed(why) => Err(shared(why)),
            Step::Void(id) => {
                drop(resource);
                id.into_iter().for_each(|id| self.0.close_one(id));
                Err(Error::BackendClosed { what: key.to_string() })
            }
            _ => Ok(self.lease(id, key, resource)),
        }
    }

    fn lease(&self, id: Id, key: K, resource: Option<Arc<T>>) -> Lease<K, T> {
        Lease { shared: Arc::clone(&self.0), id, key, resource }
    }

    /// Closes what has been idle for longer than the policy lets it. It is loaded again when it is borrowed again.
    pub fn close_idle(&self, now: Instant) {
        self.0.sweep(|shelf| shelf.sweep_idle(now));
    }

    /// Closes what nobody uses now: somebody needs the room.
    pub fn close_unused(&self) {
        self.0.sweep(|shelf| shelf.sweep_unused(|_| true));
    }

    /// Takes the matching ones out of use, and returns when the idle ones of them are closed. Those with leases are
    /// closed when their last lease goes; borrowers get a new one meanwhile. `matches` must not use the cache.
    pub fn invalidate(&self, matches: impl Fn(&K) -> bool) {
        self.0.sweep(|shelf| shelf.sweep(matches, false));
    }

    /// [Invalidates](Self::invalidate) everything. By force it closes what is in use, too, and what is being loaded
    /// as soon as it is; leases of that are errors from then on. Returns at the deadline at the latest.
    pub fn clear(&self, force: bool) {
        self.0.sweep(|shelf| shelf.sweep(|_| true, force));
    }

    pub fn stats(&self) -> CacheStats {
        self.0.lock().shelf.stats()
    }

    /// How many there are now.
    pub fn leases(&self) -> usize {
        self.0.lock().shelf.leases()
    }
}

impl<K: Key, T: Resource> fmt::Debug for Cache<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

impl<K: Key, T: Resource> Drop for Cache<K, T> {
    fn drop(&mut self) {
        self.clear(true);
        self.0.reap();
    }
}

impl<K: Key, T: Resource> Shared<K, T> {
    fn lock(&self) -> MutexGuard<'_, Inner<K, T>> {
        // Nothing under the lock stops half way: a caller's `matches` is asked before anything changes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, inner: MutexGuard<'a, Inner<K, T>>) -> MutexGuard<'a, Inner<K, T>> {
        self.ended.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    fn close_one(self: &Arc<Self>, id: Id) {
        self.sweep(|_| Sweep { close: vec![id], await_end: vec![id] });
    }

    /// Closes what `choose` chooses, side by side, and waits until that is over or its time has passed.
    fn sweep(self: &Arc<Self>, choose: impl FnOnce(&mut Shelf<K>) -> Sweep) {
        self.reap();
        let deadline = Instant::now() + self.unload_deadline;
        let (awaited, closing) = {
            let mut inner = self.lock();
            let sweep = choose(&mut inner.shelf);
            let closing = sweep.close.iter().filter_map(|&id| {
                let what = inner.shelf.key(id)?.to_string();
                Some(Closing { id, what, resource: inner.resources.remove(&id)?, deadline })
            });
            (sweep.await_end, closing.collect::<Vec<_>>())
        };
        let threads = closing.into_iter().map(|closing| (closing.id, Arc::clone(self).start(closing)));
        let threads: Vec<_> = threads.collect();
        let mut inner = self.lock();
        let mut now = Instant::now();
        while now < deadline && awaited.iter().any(|&id| !inner.shelf.is_over(id)) {
            let waited = self.ended.wait_timeout(inner, deadline - now);
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            now = Instant::now();
        }
        let (ended, failures) = self.give_up(&mut inner, threads, &awaited);
        drop(inner);
        // They have told how it went, and hold nothing any more.
        ended.into_iter().for_each(|handle| drop(handle.join()));
        failures.iter().for_each(|why| (self.on_failure)(why));
    }

    /// What is not over by now has failed. Returns the threads that are, and the failures.
    fn give_up(
        &self,
        inner: &mut Inner<K, T>,
        threads: Vec<(Id, Option<JoinHandle<()>>)>,
        awaited: &[Id],
    ) -> (Vec<JoinHandle<()>>, Vec<Arc<Error>>) {
        let late = |shelf: &Shelf<K>, id, source: String| {
            let what = shelf.key(id)?.to_string();
            (!shelf.is_over(id)).then(|| Arc::new(Error::CloseFailed { what, source: source.into() }))
        };
        let (mut ended, mut failures) = (Vec::new(), Vec::new());
        for (id, handle) in threads {
            let why = late(&inner.shelf, id, format!("it did not end within {:?}", self.unload_deadline));
            match why {
                Some(why) => {
                    inner.shelf.closed(id, Err(Arc::clone(&why)));
                    inner.overdue.extend(handle);
                    failures.push(why);
                }
                None => ended.extend(handle),
            }
        }
        // Others load or close these, and look after them when that ends.
        let under_way = |&id| late(&inner.shelf, id, "it is still being loaded or closed by another".into());
        failures.extend(awaited.iter().filter_map(under_way));
        self.ended.notify_all();
        (ended, failures)
    }

    /// On a thread of its own, or on this one if there can be none.
    fn start(self: Arc<Self>, closing: Closing<T>) -> Option<JoinHandle<()>> {
        let (hand_over, take) = mpsc::sync_channel(1);
        let shared = Arc::clone(&self);
        let work = move || take.into_iter().for_each(|closing| shared.close(closing));
        let handle = thread::Builder::new().name("close".into()).spawn(work).ok();
        match handle {
            Some(_) => drop(hand_over.send(closing)),
            None => self.close(closing),
        }
        handle
    }

    fn close(&self, Closing { id, what, resource, deadline }: Closing<T>) {
        let closed = catch_panic("closing a model", || resource.close(deadline));
        // The memory goes here, unless leases that a forced closing overtook still hold it.
        let dropped = catch_panic("closing a model", || {
            drop(resource);
            Ok(())
        });
        let outcome =
            closed.and(dropped).map_err(|error| Arc::new(Error::CloseFailed { what, source: error.into() }));
        if let Err(why) = &outcome {
            (self.on_failure)(why);
        }
        let mut inner = self.lock();
        inner.shelf.closed(id, outcome);
        self.ended.notify_all();
    }

    /// Joins the threads that have ended after their time.
    fn reap(&self) {
        let mut inner = self.lock();
        let (ended, rest) = inner.overdue.drain(..).partition::<Vec<_>, _>(JoinHandle::is_finished);
        inner.overdue = rest;
        drop(inner);
        ended.into_iter().for_each(|handle| drop(handle.join()));
    }
}

/// What one closing needs.
struct Closing<T> {
    id: Id,
    what: String,
    resource: Arc<T>,
    deadline: Instant,
}

/// The use of a resource, for as long as this lives.
pub struct Lease<K: Key, T: Resource> {
    shared: Arc<Shared<K, T>>,
    id: Id,
    key: K,
    /// None only while it is dropped.
    resource: Option<Arc<T>>,
}

impl<K: Key, T: Resource> Lease<K, T> {
    /// The resource, unless it was closed by force. That can happen while the reference is in use, too: what the
    /// resource then answers is its own affair.
    pub fn get(&self) -> Result<&T> {
        let ready = self.shared.lock().shelf.is_ready(self.id);
        let resource = self.resource.as_deref().filter(|_| ready);
        resource.ok_or_else(|| Error::BackendClosed { what: self.key.to_string() })
    }

    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K: Key, T: Resource> fmt::Debug for Lease<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.key)
    }
}

impl<K: Key, T: Resource> Drop for Lease<K, T> {
    fn drop(&mut self) {
        // First, so that the thread that closes it is the last to hold it.
        self.resource = None;
        let goes = self.shared.lock().shelf.release(self.id, Instant::now());
        goes.into_iter().for_each(|id| self.shared.close_one(id));
    }
}

/// As the only one who met it, if that is so.
fn shared(why: Arc<Error>) -> Error {
    Arc::try_unwrap(why).unwrap_or_else(Error::Shared)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
