//! The models of a session: found before anything starts, loaded when an input needs one, kept for the next input by
//! the pool, closed at the end.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};

use super::backpressure::ChunkBudget;
use super::{RunContext, RunEvent};
use crate::device::SelectedDevice;
use crate::engine::{Engine, EngineGroup, EngineStats};
use crate::error::{Error, Result};
use crate::models::checkpoint::{Checkpoint, CheckpointFiles};
use crate::models::hub::DownloadProgress;
use crate::models::pool::{Lease, ModelKey, ModelPool};
use crate::models::{LoadLimits, ModelOptions, SlotRequest, load, source};
use crate::plan::ModelRequest;
use crate::test_hooks;
use crate::transcript::ModelIdentity;

/// Chunks prepared beyond an engine's window slots, so that a free slot never waits for audio.
const CHUNKS_AHEAD: usize = 2;

/// Names a found model within its [`ModelSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(usize);

/// A loaded model and its engines, as the pool holds it.
pub struct PooledModel {
    engine: Arc<EngineGroup>,
    identity: ModelIdentity,
    device: String,
    budget: ChunkBudget,
    /// Bytes taken on each device.
    bytes: u64,
}

/// A model leased for one input.
pub struct LeasedModel {
    pub id: ModelId,
    pub engine: Arc<EngineGroup>,
    pub identity: ModelIdentity,
    /// Where the model was loaded in the end.
    pub device: String,
    /// Limits the chunks prepared for the engine.
    pub budget: ChunkBudget,
    /// Keeps the pool from closing the model as unused.
    _lease: Lease<PooledModel>,
}

/// Every model of a session.
pub struct ModelSet {
    device: SelectedDevice,
    /// Further devices that share the work.
    beside: Vec<SelectedDevice>,
    /// The program chose the device and may choose another one.
    may_move: bool,
    slots: SlotRequest,
    options: ModelOptions,
    found: Vec<FoundModel>,
    pool: ModelPool<PooledModel>,
    /// Why models could not be closed, from whichever thread noticed.
    close_failures: Receiver<String>,
    engines: Vec<StartedEngine>,
    /// Figures of engines that have ended.
    ended: EngineStats,
}

struct StartedEngine {
    engine: Arc<EngineGroup>,
    identity: ModelIdentity,
    device: String,
    bytes: u64,
}

struct FoundModel {
    request: ModelRequest,
    key: ModelKey,
    /// None for the built-in model, which can be found again at any time.
    checkpoint: Option<Checkpoint>,
}

impl ModelSet {
    /// `candidates` and `beams` are the most that any input asks for.
    pub fn new(
        (device, beside): (SelectedDevice, Vec<SelectedDevice>),
        may_move: bool,
        options: ModelOptions,
        (candidates, beams): (usize, usize),
    ) -> Self {
        let (sender, close_failures) = unbounded();
        // A closed channel means that the set is gone and nobody needs the message.
        let report = move |error: &Error| drop(sender.send(error.chain()));
        let close = |model: &PooledModel, deadline| model.engine.close(deadline);
        let pool = ModelPool::new(options.policy, close, report);
        Self {
            device,
            beside,
            may_move,
            slots: SlotRequest { windows: options.batch_size, candidates, beams },
            options,
            found: Vec::new(),
            pool,
            close_failures,
            engines: Vec::new(),
            ended: EngineStats::default(),
        }
    }

    /// Finds a model and downloads it if needed. Loads nothing.
    pub fn find(&mut self, request: &ModelRequest, context: RunContext<'_>) -> Result<ModelId> {
        if let Some(index) = self.found.iter().position(|found| found.request == *request) {
            return Ok(ModelId(index));
        }
        if let Some(why) = self.device.fallback_reason.take() {
            context.emit(RunEvent::AcceleratorUnavailable { why });
        }
        let checkpoint = find_model(request, &self.device, context)?;
        context.check()?;
        let (name, identity) = (checkpoint.name.clone(), checkpoint.identity.clone());
        let key = ModelKey { name, identity, device: self.device.label() };
        let is_demo = matches!(checkpoint.files, CheckpointFiles::Embedded { .. });
        if is_demo {
            context.emit(RunEvent::DemoModelUsed);
        }
        let checkpoint = Some(checkpoint).filter(|_| !is_demo);
        self.found.push(FoundModel { request: request.clone(), key, checkpoint });
        Ok(ModelId(self.found.len() - 1))
    }

    /// Adds a model that the caller has loaded.
    pub fn insert_loaded(
        &mut self,
        request: &ModelRequest,
        engine: Arc<EngineGroup>,
        identity: ModelIdentity,
        bytes: u64,
    ) -> Result<ModelId> {
        let (name, device) = (identity.name.clone(), self.device.label());
        let key = ModelKey { identity: name.clone(), name, device: device.clone() };
        let budget = ChunkBudget::new(engine.capacity().windows + CHUNKS_AHEAD);
        let loaded = PooledModel { engine, identity, device, budget, bytes };
        // The pool keeps it warm without a lease.
        self.pool.borrow(&key, || Ok((loaded, bytes))).map(drop)?;
        self.found.push(FoundModel { request: request.clone(), key, checkpoint: None });
        Ok(ModelId(self.found.len() - 1))
    }

    /// Returns the device that models are loaded on first.
    pub fn device(&self) -> &SelectedDevice {
        &self.device
    }

    /// Returns how many different models were found.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Returns how many models may be leased at the same time.
    pub fn max_models(&self) -> usize {
        self.options.policy.max_models.unwrap_or(usize::MAX)
    }

    /// Leases a found model, loading it if needed; unused models make room for it.
    pub fn lease(&mut self, id: ModelId, context: RunContext<'_>) -> Result<LeasedModel> {
        let missing = || Error::compute("loading a model", "it was not found before");
        let FoundModel { request, key, checkpoint } = self.found.get(id.0).ok_or_else(missing)?;
        let lease_once = || {
            self.pool.borrow(key, || {
                let model = match checkpoint {
                    Some(checkpoint) => self.load(checkpoint, context)?,
                    None => self.load(&find_model(request, &self.device, context)?, context)?,
                };
                let bytes = model.bytes;
                Ok((model, bytes))
            })
        };
        let mut leased = lease_once();
        if leased.as_ref().is_err_and(is_memory_shortage) && self.pool.stats().resident > 0 {
            self.pool.close_unused();
            leased = lease_once();
        }
        // An engine that ended because of a bug is of no use any more.
        leased = match leased {
            Ok(lease) if lease.get().is_ok_and(|model| model.engine.has_ended()) => {
                lease.retire();
                lease_once()
            }
            leased => leased,
        };
        let lease = leased?;
        let loaded = lease.get()?;
        let PooledModel { engine, identity, device, budget, bytes } = loaded;
        let (engine, budget, bytes) = (Arc::clone(engine), budget.clone(), *bytes);
        let (identity, device) = (identity.clone(), device.clone());
        if !self.engines.iter().any(|started| Arc::ptr_eq(&started.engine, &engine)) {
            let (engine, identity, device) = (Arc::clone(&engine), identity.clone(), device.clone());
            self.engines.push(StartedEngine { engine, identity, device, bytes });
        }
        Ok(LeasedModel { id, engine, identity, device, budget, _lease: lease })
    }

    /// Loads on the requested devices, or on the CPU if memory is short and the program may choose.
    fn load(&self, checkpoint: &Checkpoint, context: RunContext<'_>) -> Result<PooledModel> {
        let devices: Vec<&SelectedDevice> = std::iter::once(&self.device).chain(&self.beside).collect();
        match self.load_on(&devices, checkpoint, context) {
            Err(error) if self.may_move && self.device.is_accelerator() && is_memory_shortage(&error) => {
                let cpu = SelectedDevice::cpu();
                let (model, from) = (checkpoint.name.clone(), self.device.name.clone());
                context.emit(RunEvent::ModelMoved { model, from, to: cpu.name.clone() });
                self.load_on(&[&cpu], checkpoint, context)
            }
            outcome => outcome,
        }
    }

    /// Starts one engine on each device.
    fn load_on(
        &self,
        devices: &[&SelectedDevice],
        checkpoint: &Checkpoint,
        context: RunContext<'_>,
    ) -> Result<PooledModel> {
        let device = devices.iter().map(|device| device.label()).collect::<Vec<_>>().join(",");
        context.emit(RunEvent::ModelLoading { model: checkpoint.name.clone(), device: device.clone() });
        test_hooks::reached("load", context.cancel);
        let started = Instant::now();
        let running = self.engines.iter().filter(|started| !started.engine.has_ended());
        let taken: u64 = running.map(|started| started.bytes).sum();
        let budget = self.options.max_memory.map(|most| most.saturating_sub(taken));
        let (mut engines, mut bytes) = (Vec::with_capacity(devices.len()), 0);
        for device in devices {
            let mut on_fewer_windows = |slots| context.emit(RunEvent::SlotsReduced { slots });
            let loaded = load(
                checkpoint,
                device,
                self.slots,
                LoadLimits { budget, on_fewer_windows: &mut on_fewer_windows },
            )?;
            bytes = loaded.memory.total().max(bytes);
            let release = self.options.release;
            engines.push(Engine::start(loaded.backend, loaded.tokenizer, release, context.cancel)?);
        }
        let engine = Arc::new(EngineGroup::new(engines)?);
        let revision = Some(checkpoint.identity.clone());
        let identity = ModelIdentity { name: checkpoint.name.clone(), revision };
        let seconds = started.elapsed().as_secs_f64();
        context.emit(RunEvent::ModelLoaded { identity: identity.clone(), device: device.clone(), seconds });
        let budget = ChunkBudget::new(engine.capacity().windows + CHUNKS_AHEAD * devices.len());
        Ok(PooledModel { engine, identity, device, budget, bytes })
    }

    /// Closes models that were idle for too long, and emits what was unloaded or could not be closed.
    pub fn close_idle(&mut self, context: RunContext<'_>) {
        self.pool.close_idle(Instant::now());
        let ended = &mut self.ended;
        self.engines.retain(|StartedEngine { engine, identity, device, .. }| {
            if engine.has_ended() {
                *ended += engine.stats().at_end();
                context.emit(RunEvent::ModelUnloaded { identity: identity.clone(), device: device.clone() });
            }
            !engine.has_ended()
        });
        self.close_failures.try_iter().for_each(|why| context.emit(RunEvent::UnloadFailed { why }));
    }

    /// Closes all models by force, leased or not.
    pub fn close(&mut self, context: RunContext<'_>) {
        self.pool.force_close();
        self.close_idle(context);
        context.emit(RunEvent::PoolClosed(self.pool.stats()));
    }

    /// Returns the figures of all engines started so far, together.
    pub fn stats(&self) -> EngineStats {
        let mut stats = self.ended;
        self.engines.iter().for_each(|started| stats += started.engine.stats());
        stats
    }

    /// Returns how many leases are out.
    pub fn leases(&self) -> usize {
        self.pool.leases()
    }
}

/// Finds the requested checkpoint and downloads it if needed.
pub fn find_model(
    request: &ModelRequest,
    device: &SelectedDevice,
    context: RunContext<'_>,
) -> Result<Checkpoint> {
    let name = request.name_on(|| device.is_accelerator());
    let mut is_announced = false;
    let mut on_download = |DownloadProgress { file, done, total }: DownloadProgress<'_>| {
        if !std::mem::replace(&mut is_announced, true) {
            let (from, to) = (request.hub.shown_endpoint(), request.hub.cache.clone());
            context.emit(RunEvent::DownloadStarted { model: name.to_owned(), from, to });
        }
        context.emit(RunEvent::Downloading { file: file.to_owned(), done, total });
    };
    let revision = request.revision.as_deref();
    let checkpoint = source::find(name, revision, &request.hub, context.cancel, &mut on_download)?;
    if let Some(found) = &checkpoint.found {
        context.emit(RunEvent::ModelFoundElsewhere { model: name.to_owned(), found: found.clone() });
    }
    Ok(checkpoint)
}

/// Whether less work at a time, or another device, may help.
pub fn is_memory_shortage(error: &Error) -> bool {
    matches!(error.unshared(), Error::OutOfMemory { .. })
}
