//! Pool of loaded models: leases, LRU eviction, idle timeout and closing within a deadline.
//!
//! A borrower gets a [`Lease`]; a model without leases is idle and stays warm until the [policy](PoolPolicy) or one of
//! the `close` methods closes it. Each model goes `Unloaded → Loading → Ready → Unloading → Unloaded`, or `Failed` if
//! it does not unload in time. What to do is decided by `PoolState`, a pure state machine that a property test
//! checks; the lock, the waiting and the threads are here.
//!
//! The pool is shared by threads, because the jobs of a server borrow from several. It supports what that needs and no
//! more: a borrower of a model that another thread loads or unloads waits for that and then asks again, so a model is
//! never resident twice. Outcomes of loads are not shared: if a load fails, each waiting borrower tries its own.
//!
//! Loading runs on the thread of the borrower. Closing runs on a thread of its own, so that the caller waits no longer
//! than the deadline. If the deadline passes first, the failure is reported, the entry becomes `Failed`, and the thread
//! is joined by a later closing or when the pool is dropped; one that has not ended even then is left to the end of the
//! process.

mod state;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, catch_panic};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Condvar, Mutex, MutexGuard};
use state::{BorrowStep, EntryId, LoadedStep, ModelState, PoolState};

/// Identifies a model in the pool: its weights and where they are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelKey {
    pub name: String,
    /// Identifies the weights.
    pub identity: String,
    pub device: String,
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.device)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// Closes a model as soon as its last lease ends instead of keeping it warm.
    pub eager_release: bool,
    /// The number of resident models beyond which a load first evicts the least recently used idle one. If all are in
    /// use, the limit is exceeded until a lease ends.
    pub max_models: Option<usize>,
    /// How long a model may be idle before [`ModelPool::close_idle`] closes it.
    pub idle_timeout: Option<Duration>,
    pub unload_deadline: Duration,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        let unload_deadline = Duration::from_secs(10);
        Self { eager_release: false, max_models: None, idle_timeout: None, unload_deadline }
    }
}

/// Counters since the pool was created.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PoolStats {
    /// Leases of models that were already loaded.
    pub hits: u64,
    /// Loads that were started.
    pub misses: u64,
    /// Models closed to stay within `max_models`.
    pub evictions: u64,
    /// Loads in excess of `max_models` because all models were in use.
    pub exceeded: u64,
    /// Duration of the successful loads.
    pub load_seconds: f64,
    pub bytes_loaded: u64,
    pub close_failures: u64,
    /// Models loaded now.
    pub resident: usize,
}

/// Closes a model; called once per model. Should return by the deadline, after which its outcome is ignored.
type CloseFn<M> = Box<dyn Fn(&M, Instant) -> Result<()> + Send + Sync>;

pub struct ModelPool<M: Send + Sync + 'static>(Arc<PoolShared<M>>);

struct PoolShared<M> {
    inner: Mutex<PoolInner<M>>,
    /// Notified whenever a load or a closing ends, the only events that threads wait for.
    changed: Condvar,
    unload_deadline: Duration,
    close: CloseFn<M>,
    on_failure: Box<dyn Fn(&Error) + Send + Sync>,
}

struct PoolInner<M> {
    state: PoolState,
    models: HashMap<EntryId, Arc<M>>,
    closers: HashMap<EntryId, JoinHandle<()>>,
}

impl<M: Send + Sync + 'static> ModelPool<M> {
    /// Creates an empty pool. `on_failure` receives every closing that fails or takes too long, on whichever thread
    /// notices it.
    pub fn new(
        policy: PoolPolicy,
        close: impl Fn(&M, Instant) -> Result<()> + Send + Sync + 'static,
        on_failure: impl Fn(&Error) + Send + Sync + 'static,
    ) -> Self {
        let state = PoolState::new(policy);
        let inner = Mutex::new(PoolInner { state, models: HashMap::new(), closers: HashMap::new() });
        let (close, on_failure) = (Box::new(close), Box::new(on_failure));
        let (changed, unload_deadline) = (Condvar::new(), policy.unload_deadline);
        Self(Arc::new(PoolShared { inner, changed, unload_deadline, close, on_failure }))
    }

    /// Lends a model, after loading it if it is not loaded; `load` returns it with its size in bytes. Waits if another
    /// thread is loading or unloading the same key, and while an evicted model closes.
    pub fn borrow(&self, key: &ModelKey, load: impl FnOnce() -> Result<(M, u64)>) -> Result<Lease<M>> {
        let mut inner = self.0.lock();
        loop {
            match inner.state.borrow(key, Instant::now()) {
                BorrowStep::Wait => {
                    inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
                BorrowStep::Close(id) => {
                    drop(inner);
                    self.0.close_all(|_| vec![id]);
                    inner = self.0.lock();
                }
                BorrowStep::Load(id) => {
                    drop(inner);
                    return self.load(id, key, load);
                }
                BorrowStep::Lease(id) => {
                    let model = inner.models.get(&id).map(Arc::clone);
                    drop(inner);
                    return Ok(self.lease(id, key, model));
                }
            }
        }
    }

    fn load(&self, id: EntryId, key: &ModelKey, load: impl FnOnce() -> Result<(M, u64)>) -> Result<Lease<M>> {
        let start = Instant::now();
        let loaded = catch_panic("loading a model", load);
        let seconds = start.elapsed().as_secs_f64();
        let mut inner = self.0.lock();
        self.0.changed.notify_all();
        let (model, bytes) = match loaded {
            Ok((model, bytes)) => (Arc::new(model), bytes),
            Err(error) => {
                inner.state.load_failed(id);
                return Err(error);
            }
        };
        inner.models.insert(id, Arc::clone(&model));
        let step = inner.state.loaded(id, bytes, seconds);
        drop(inner);
        match step {
            LoadedStep::Lease => Ok(self.lease(id, key, Some(model))),
            LoadedStep::Close => {
                drop(model);
                self.0.close_all(|_| vec![id]);
                Err(Error::BackendClosed { what: key.to_string() })
            }
        }
    }

    fn lease(&self, id: EntryId, key: &ModelKey, model: Option<Arc<M>>) -> Lease<M> {
        Lease { shared: Arc::clone(&self.0), id, key: key.clone(), model }
    }

    /// Closes the models that have been idle for longer than the policy allows.
    pub fn close_idle(&self, now: Instant) {
        self.0.close_all(|state| state.close_idle(now));
    }

    /// Closes the models without leases, to make memory available.
    pub fn close_unused(&self) {
        self.0.close_all(PoolState::close_unused);
    }

    /// Closes all models, those in use included, and those being loaded as soon as they are; their leases return errors
    /// from then on. Returns at the deadline at the latest.
    pub fn force_close(&self) {
        self.0.close_all(PoolState::force_close);
    }

    pub fn stats(&self) -> PoolStats {
        self.0.lock().state.stats()
    }

    /// Returns the number of leases, loads in progress included.
    pub fn leases(&self) -> usize {
        self.0.lock().state.leases()
    }
}

impl<M: Send + Sync + 'static> fmt::Debug for ModelPool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ModelPool").field(&self.stats()).finish()
    }
}

impl<M: Send + Sync + 'static> Drop for ModelPool<M> {
    fn drop(&mut self) {
        self.force_close();
    }
}

impl<M: Send + Sync + 'static> PoolShared<M> {
    fn lock(&self) -> MutexGuard<'_, PoolInner<M>> {
        // Nothing that can panic runs under the lock half way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the entries that `choose` returns, concurrently, and waits until they are closed or the deadline passes.
    fn close_all(self: &Arc<Self>, choose: impl FnOnce(&mut PoolState) -> Vec<EntryId>) {
        let deadline = Instant::now() + self.unload_deadline;
        let (ids, models) = {
            let mut inner = self.lock();
            let ids = choose(&mut inner.state);
            // An entry without a model here is closed by another thread, or loaded and then closed by one.
            let closing = |&id: &EntryId| {
                let model = inner.models.remove(&id)?;
                Some((id, inner.state.key(id)?.to_string(), model))
            };
            let models: Vec<_> = ids.iter().filter_map(closing).collect();
            (ids, models)
        };
        let start = |(id, what, model)| Some((id, self.start_closing(id, what, model, deadline)?));
        let started: Vec<_> = models.into_iter().filter_map(start).collect();
        let mut inner = self.lock();
        inner.closers.extend(started);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let is_pending = |inner: &mut PoolInner<M>| ids.iter().any(|&id| inner.state.is_live(id));
        let waited = self.changed.wait_timeout_while(inner, timeout, is_pending);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        let failures: Vec<Error> = ids.iter().filter_map(|&id| self.time_out(&mut inner.state, id)).collect();
        // A closer without an entry has nothing left to do but to end.
        let PoolInner { state, closers, .. } = &mut *inner;
        let ended: Vec<_> = closers.extract_if(|&id, _| state.state(id).is_none()).collect();
        drop(inner);
        self.changed.notify_all();
        ended.into_iter().for_each(|(_, closer)| drop(closer.join()));
        failures.iter().for_each(|error| (self.on_failure)(error));
    }

    /// Returns the failure of an entry that is still live at the deadline of its closing.
    fn time_out(&self, state: &mut PoolState, id: EntryId) -> Option<Error> {
        let what = state.key(id)?.to_string();
        let why = match state.close_timed_out(id) {
            true => format!("it did not close within {:?}", self.unload_deadline),
            // Its loader closes it when the load ends.
            false if state.is_live(id) => "it is still being loaded".to_owned(),
            false => return None,
        };
        Some(Error::CloseFailed { what, source: why.into() })
    }

    /// Starts a thread that closes the model. If there can be none, the model is dropped without being closed.
    fn start_closing(
        self: &Arc<Self>,
        id: EntryId,
        what: String,
        model: Arc<M>,
        deadline: Instant,
    ) -> Option<JoinHandle<()>> {
        let (shared, name) = (Arc::clone(self), what.clone());
        let closing = move || shared.close(id, name, model, deadline);
        match thread::Builder::new().name("close".into()).spawn(closing) {
            Ok(closer) => Some(closer),
            Err(error) => {
                (self.on_failure)(&Error::CloseFailed { what, source: error.into() });
                self.lock().state.closed(id, false);
                None
            }
        }
    }

    fn close(&self, id: EntryId, what: String, model: Arc<M>, deadline: Instant) {
        let closed = catch_panic("closing a model", || (self.close)(&model, deadline));
        // This frees the memory, unless leases that a forced close invalidated still hold it.
        let dropped = catch_panic("closing a model", || {
            drop(model);
            Ok(())
        });
        let outcome = closed.and(dropped).map_err(|error| Error::CloseFailed { what, source: error.into() });
        if let Err(error) = &outcome {
            (self.on_failure)(error);
        }
        self.lock().state.closed(id, outcome.is_ok());
        self.changed.notify_all();
    }
}

/// Permission to use a model, for as long as this lives.
pub struct Lease<M: Send + Sync + 'static> {
    shared: Arc<PoolShared<M>>,
    id: EntryId,
    key: ModelKey,
    /// `None` only during the drop.
    model: Option<Arc<M>>,
}

impl<M: Send + Sync + 'static> Lease<M> {
    /// Returns the model unless it was force-closed. A forced close can also happen while the reference is in use; what
    /// the model then returns is up to it.
    pub fn get(&self) -> Result<&M> {
        let is_ready = self.shared.lock().state.state(self.id) == Some(ModelState::Ready);
        let model = self.model.as_deref().filter(|_| is_ready);
        model.ok_or_else(|| Error::BackendClosed { what: self.key.to_string() })
    }

    pub fn key(&self) -> &ModelKey {
        &self.key
    }

    /// Ends the lease of a model that must not be lent again; it is closed when its last lease ends.
    pub fn retire(self) {
        self.shared.lock().state.retire(self.id);
    }
}

impl<M: Send + Sync + 'static> fmt::Debug for Lease<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.key)
    }
}

impl<M: Send + Sync + 'static> Drop for Lease<M> {
    fn drop(&mut self) {
        // Dropped first, so that the closing thread holds the last reference.
        self.model = None;
        let closes = self.shared.lock().state.release(self.id, Instant::now());
        if closes {
            self.shared.close_all(|_| vec![self.id]);
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
