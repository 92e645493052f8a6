//! The models of a job: found before anything starts, loaded when an input needs one, kept for the next input by
//! the cache, closed at the end.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};

use super::Event;
use super::backpressure::Permits;
use crate::cancel::CancelToken;
use crate::device::{Precision, Selected};
use crate::engine::{Engine, ReleasePolicy, Stats, Team};
use crate::error::{Error, Result};
use crate::models::cache::{Cache, CachePolicy, CacheStats, Lease, Resource};
use crate::models::checkpoint::{Checkpoint, Files};
use crate::models::hub::Download;
use crate::models::{Room, Slots, load, source};
use crate::plan::ModelRequest;
use crate::test_hooks;
use crate::transcript::ModelIdentity;

/// Chunks made ahead of an engine's slots.
const AHEAD: usize = 2;

/// How models are kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelOptions {
    pub policy: CachePolicy,
    /// Windows side by side; as many as suit the device if not given.
    pub batch_size: Option<usize>,
    pub release: ReleasePolicy,
    pub precision: Precision,
    /// Bytes that all of them together may take where they compute.
    pub most_memory: Option<u64>,
}

/// Which of them, for as long as the job lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Which(usize);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelKey {
    name: String,
    /// Of the weights.
    identity: String,
    device: String,
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.name, self.device)
    }
}

/// A model that is loaded, and its engine.
pub struct Loaded {
    engine: Arc<Team>,
    identity: ModelIdentity,
    device: String,
    permits: Permits,
    /// On each device.
    bytes: u64,
}

impl Resource for Loaded {
    fn close(&self, deadline: Instant) -> Result<()> {
        self.engine.close(deadline)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A model for one input, and all that it needs of it.
pub struct InUse {
    pub which: Which,
    pub engine: Arc<Team>,
    pub identity: ModelIdentity,
    /// Where it computes in the end.
    pub device: String,
    /// Leave to make chunks for it.
    pub permits: Permits,
    /// As long as this lives, it is not closed for want of use.
    _lease: Lease<ModelKey, Loaded>,
}

/// See the module.
pub struct Models {
    device: Selected,
    /// Those that share the work with it.
    beside: Vec<Selected>,
    /// The device was the program's choice, and may be another one.
    may_move: bool,
    slots: Slots,
    options: ModelOptions,
    known: Vec<Known>,
    cache: Cache<ModelKey, Loaded>,
    /// Why models could not be closed, told wherever that was seen.
    failures: Receiver<String>,
    engines: Vec<Running>,
    /// Of those that have ended.
    ended: Stats,
}

/// An engine that was started.
struct Running {
    engine: Arc<Team>,
    identity: ModelIdentity,
    device: String,
    bytes: u64,
}

struct Known {
    request: ModelRequest,
    key: ModelKey,
    /// None if it is built in: it is at hand again at any time.
    checkpoint: Option<Checkpoint>,
}

impl Models {
    /// The device `may_move` if it was the program's choice. `candidates` and `beams` are the most that an input asks for.
    pub fn new(
        (device, beside): (Selected, Vec<Selected>),
        may_move: bool,
        options: ModelOptions,
        (candidates, beams): (usize, usize),
    ) -> Self {
        let (tell, failures) = unbounded();
        // Nobody listens any more only when nobody needs to know.
        let cache = Cache::new(options.policy, move |error| drop(tell.send(error.chain())));
        Self {
            device,
            beside,
            may_move,
            slots: Slots { windows: options.batch_size, candidates, beams },
            options,
            known: Vec::new(),
            cache,
            failures,
            engines: Vec::new(),
            ended: Stats::default(),
        }
    }

    /// Finds a model, downloaded if need be. Loads nothing.
    pub fn find(
        &mut self,
        request: &ModelRequest,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Which> {
        if let Some(known) = self.known.iter().position(|known| known.request == *request) {
            return Ok(Which(known));
        }
        if let Some(why) = self.device.passed_over.take() {
            on_event(Event::PassedOver { why: &why });
        }
        let checkpoint = find_model(request, &self.device, cancel, on_event)?;
        cancel.check()?;
        let (name, identity) = (checkpoint.name.clone(), checkpoint.identity.clone());
        let key = ModelKey { name, identity, device: self.device.label() };
        let checkpoint = Some(checkpoint).filter(|found| matches!(found.files, Files::Folder { .. }));
        self.known.push(Known { request: request.clone(), key, checkpoint });
        Ok(Which(self.known.len() - 1))
    }

    /// Takes a model in that somebody has loaded. It stays while that somebody has its engine.
    pub fn adopt(
        &mut self,
        request: &ModelRequest,
        engine: Arc<Team>,
        identity: ModelIdentity,
        bytes: u64,
    ) -> Result<Which> {
        let (name, device) = (identity.name.clone(), self.device.label());
        let key = ModelKey { identity: name.clone(), name, device: device.clone() };
        let permits = Permits::new(engine.capacity().windows + AHEAD);
        let loaded = Loaded { engine, identity, device, permits, bytes };
        // The cache keeps it warm.
        self.cache.borrow(key.clone(), || Ok(loaded)).map(drop)?;
        self.known.push(Known { request: request.clone(), key, checkpoint: None });
        Ok(Which(self.known.len() - 1))
    }

    /// Where models compute, if nothing speaks against it.
    pub fn device(&self) -> &Selected {
        &self.device
    }

    /// How many different ones there are.
    pub fn count(&self) -> usize {
        self.known.len()
    }

    /// How many may be in use side by side.
    pub fn side_by_side(&self) -> usize {
        self.options.policy.max_models.unwrap_or(usize::MAX)
    }

    /// Lends a model that was found. It is loaded if it is not there; what nobody uses makes room for it.
    pub fn borrow(
        &mut self,
        which: Which,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<InUse> {
        let missing = || Error::compute("loading a model", "it was not found before");
        let Known { request, key, checkpoint } = self.known.get(which.0).ok_or_else(missing)?;
        let mut lend = || {
            self.cache.borrow(key.clone(), || {
                let found = match checkpoint {
                    Some(checkpoint) => checkpoint,
                    None => &find_model(request, &self.device, cancel, on_event)?,
                };
                self.load(found, cancel, on_event)
            })
        };
        let mut lent = lend();
        if lent.as_ref().is_err_and(is_shortage) && self.cache.stats().resident > 0 {
            self.cache.close_unused();
            lent = lend();
        }
        // One whose engine was lost to a bug is of no use any more.
        if lent.as_ref().is_ok_and(|lease| lease.get().is_ok_and(|loaded| loaded.engine.has_ended())) {
            drop(lent);
            self.cache.invalidate(|other| other == key);
            lent = lend();
        }
        let lease = lent?;
        let loaded = lease.get()?;
        let Loaded { engine, identity, device, permits, .. } = loaded;
        let (engine, permits) = (Arc::clone(engine), permits.clone());
        let (identity, device, bytes) = (identity.clone(), device.clone(), loaded.bytes);
        if !self.engines.iter().any(|running| Arc::ptr_eq(&running.engine, &engine)) {
            let (engine, identity, device) = (Arc::clone(&engine), identity.clone(), device.clone());
            self.engines.push(Running { engine, identity, device, bytes });
        }
        Ok(InUse { which, engine, identity, device, permits, _lease: lease })
    }

    /// Loads where it was asked for, or on the CPU if that was left to the program.
    fn load(
        &self,
        checkpoint: &Checkpoint,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Loaded> {
        let devices: Vec<&Selected> = std::iter::once(&self.device).chain(&self.beside).collect();
        match self.load_on(&devices, checkpoint, cancel, on_event) {
            Err(error) if self.may_move && self.device.is_accelerator() && is_shortage(&error) => {
                let cpu = Selected::cpu();
                on_event(Event::Moved { model: &checkpoint.name, from: &self.device.name, to: &cpu.name });
                self.load_on(&[&cpu], checkpoint, cancel, on_event)
            }
            outcome => outcome,
        }
    }

    /// One engine on each device.
    fn load_on(
        &self,
        devices: &[&Selected],
        checkpoint: &Checkpoint,
        cancel: &CancelToken,
        on_event: &mut dyn FnMut(Event<'_>),
    ) -> Result<Loaded> {
        let device = &devices.iter().map(|device| device.label()).collect::<Vec<_>>().join(",");
        on_event(Event::Loading { model: &checkpoint.name, device });
        test_hooks::reached("load", cancel);
        let started = Instant::now();
        let running = self.engines.iter().filter(|running| !running.engine.has_ended());
        let taken = running.map(|running| running.bytes).sum();
        let budget = self.options.most_memory.map(|most| most.saturating_sub(taken));
        let (mut engines, mut bytes) = (Vec::with_capacity(devices.len()), 0);
        for device in devices {
            let mut on_less = |slots| on_event(Event::SlotsReduced { slots });
            let loaded = load(checkpoint, device, self.slots, Room { budget, on_less: &mut on_less })?;
            bytes = loaded.needs.total().max(bytes);
            engines.push(Engine::start(loaded.backend, loaded.tokenizer, self.options.release, cancel)?);
        }
        let engine = Arc::new(Team::new(engines)?);
        let revision = Some(checkpoint.identity.clone());
        let identity = ModelIdentity { name: checkpoint.name.clone(), revision };
        let seconds = started.elapsed().as_secs_f64();
        on_event(Event::Loaded { identity: &identity, device, seconds });
        let permits = Permits::new(engine.capacity().windows + AHEAD * devices.len());
        Ok(Loaded { engine, identity, device: device.clone(), permits, bytes })
    }

    /// To be called from time to time: closes what was idle for too long, and tells what could not be closed.
    pub fn tidy(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        self.cache.close_idle(Instant::now());
        let ended = &mut self.ended;
        self.engines.retain(|Running { engine, identity, device, .. }| {
            if engine.has_ended() {
                *ended += engine.stats().at_end();
                on_event(Event::Unloaded { identity, device });
            }
            !engine.has_ended()
        });
        self.failures.try_iter().for_each(|why| on_event(Event::NotClosed { why: &why }));
    }

    /// Closes all of them, whoever still has one.
    pub fn close(&mut self, on_event: &mut dyn FnMut(Event<'_>)) {
        self.cache.clear(true);
        self.tidy(on_event);
        on_event(Event::Cache(self.cache.stats()));
    }

    /// Of all that were loaded so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.ended;
        self.engines.iter().for_each(|running| stats += running.engine.stats());
        stats
    }

    /// How many inputs have one of them now.
    pub fn leases(&self) -> usize {
        self.cache.leases()
    }

    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }
}

/// The checkpoint that was asked for, downloaded if need be.
pub fn find_model(
    request: &ModelRequest,
    device: &Selected,
    cancel: &CancelToken,
    on_event: &mut dyn FnMut(Event<'_>),
) -> Result<Checkpoint> {
    let name = request.name_on(|| device.is_accelerator());
    let mut on_download = |download: Download<'_>| on_event(Event::Download(download));
    source::find(name, request.revision.as_deref(), &request.hub, cancel, &mut on_download)
}

/// Whether less work at a time, or elsewhere, may help.
pub fn is_shortage(error: &Error) -> bool {
    matches!(error.unshared(), Error::OutOfMemory { .. })
}
