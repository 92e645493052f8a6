//! Adds up the events of a run: the figures of its summary, its report and its metrics.

use std::collections::BTreeMap;
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CodeOf, Failure};
use crate::device::memory::MemoryStats;
use crate::engine::{EngineStats, WindowDone};
use crate::error::Error;
use crate::models::pool::PoolStats;
use crate::plan::InputName;
use crate::run::RunEvent;
use crate::transcript::{Coverage, ModelIdentity};

/// How many inputs ended in which way: planned = done + skipped + failed + unfinished; missed ones are also done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "counts")]
pub struct Counts {
    pub planned: usize,
    pub done: usize,
    /// Their outputs were up to date.
    pub skipped: usize,
    pub failed: usize,
    /// The run ended before they did.
    pub unfinished: usize,
    /// Done, but below a quality gate.
    pub missed: usize,
}

/// Failures that are kept: a watch or a server may run for years.
const MAX_FAILURES: usize = 10_000;

/// Keeps a failure, in place of the one before if there are too many.
fn push(failures: &mut Vec<Failure>, failure: Failure) {
    failures.truncate(MAX_FAILURES - 1);
    failures.push(failure);
}

/// See the module.
pub struct Tally {
    code_of: CodeOf,
    pub done: usize,
    pub skipped: usize,
    /// The first of the failures, up to 9,999, and the last one.
    pub failures: Vec<Failure>,
    failed: usize,
    /// Those of inputs that are done but below a quality gate.
    pub missed: Vec<Failure>,
    missed_count: usize,
    planned: usize,
    /// The last failure was of an input that could not be planned.
    pub was_unplanned: bool,
    /// Inputs that are planned and have not ended, with how often each was planned.
    open: BTreeMap<InputName, usize>,
    pub in_flight: usize,
    /// Of the inputs that are done.
    pub audio_seconds: f64,
    pub coverage: Coverage,
    pub chunks: u64,
    /// Chunks that an earlier run had finished, and their seconds.
    pub chunks_kept: u64,
    pub seconds_kept: f64,
    pub windows: u64,
    /// Windows that needed a fallback, by the temperature of the accepted attempt.
    pub fallbacks: BTreeMap<String, u64>,
    pub slots_reduced: u64,
    pub loads: u64,
    pub load_seconds: f64,
    pub model: Option<ModelIdentity>,
    pub device: Option<String>,
    pub peak_host: u64,
    pub peak_device: Option<u64>,
    pub memory: Option<MemoryStats>,
    pub stats: Option<EngineStats>,
    /// Counters of the model pool, once it is closed.
    pub cache: Option<PoolStats>,
    began: Option<Instant>,
    seconds: f64,
}

impl Tally {
    pub fn new(code_of: CodeOf) -> Self {
        Self {
            code_of,
            done: 0,
            skipped: 0,
            failures: Vec::new(),
            failed: 0,
            missed: Vec::new(),
            missed_count: 0,
            planned: 0,
            was_unplanned: false,
            open: BTreeMap::new(),
            in_flight: 0,
            audio_seconds: 0.0,
            coverage: Coverage::default(),
            chunks: 0,
            chunks_kept: 0,
            seconds_kept: 0.0,
            windows: 0,
            fallbacks: BTreeMap::new(),
            slots_reduced: 0,
            loads: 0,
            load_seconds: 0.0,
            model: None,
            device: None,
            peak_host: 0,
            peak_device: None,
            memory: None,
            stats: None,
            cache: None,
            began: None,
            seconds: 0.0,
        }
    }

    pub fn record(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Planned { item } => {
                self.planned += 1;
                *self.open.entry(item.name()).or_default() += 1;
            }
            RunEvent::Skipped { input, .. } => {
                self.skipped += 1;
                self.close(input);
            }
            RunEvent::HeldElsewhere { input, .. } => {
                self.skipped += 1;
                self.end(input);
            }
            RunEvent::ModelLoaded { identity, device, seconds } => {
                self.loads += 1;
                self.load_seconds += seconds;
                self.model = Some(identity.clone());
                self.device = Some(device.clone());
            }
            RunEvent::Started { .. } => {
                self.began.get_or_insert_with(Instant::now);
                self.in_flight += 1;
            }
            RunEvent::WindowDone { window, .. } => self.window(window),
            RunEvent::ChunkDone { start, end, is_resumed, .. } => {
                self.chunks += 1;
                if *is_resumed {
                    self.chunks_kept += 1;
                    self.seconds_kept += end - start;
                }
            }
            RunEvent::MemoryReleased { footprint, .. } => self.memory(&footprint.memory),
            RunEvent::SlotsReduced { .. } => self.slots_reduced += 1,
            RunEvent::Progress { stats, .. } | RunEvent::EngineStats(stats) => self.stats = Some(*stats),
            RunEvent::Finished { input, transcript, quality, .. } => {
                self.done += 1;
                self.audio_seconds += transcript.seconds_asked_for();
                self.coverage.add(&quality.coverage);
                self.end(input);
            }
            RunEvent::Converted { input } => {
                self.done += 1;
                self.end(input);
            }
            RunEvent::PoolClosed(stats) => self.cache = Some(*stats),
            RunEvent::ModelUnloaded { .. } => self.stats.iter_mut().for_each(|stats| stats.taken = 0),
            RunEvent::Failed { input, error } => self.failed(input, error),
            _ => {}
        }
    }

    fn window(&mut self, window: &WindowDone) {
        self.windows += 1;
        if window.fallbacks > 0 {
            *self.fallbacks.entry(format!("{:.1}", window.temperature)).or_default() += 1;
        }
    }

    fn memory(&mut self, memory: &MemoryStats) {
        self.memory = Some(*memory);
        self.peak_host = self.peak_host.max(memory.host.peak);
        self.peak_device = self.peak_device.max(memory.device.map(|device| device.peak));
    }

    fn failed(&mut self, input: &InputName, error: &Error) {
        let failure = Failure::new(Some(input), error, self.code_of);
        let is_missed = matches!(error.unshared(), Error::QualityGate { .. });
        self.was_unplanned = !is_missed && !self.open.contains_key(input);
        if is_missed {
            self.missed_count += 1;
            push(&mut self.missed, failure);
            return;
        }
        self.failed += 1;
        push(&mut self.failures, failure);
        match self.was_unplanned {
            true => self.planned += 1,
            false => self.end(input),
        }
    }

    fn end(&mut self, input: &InputName) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.seconds = self.began.map_or(0.0, |began| began.elapsed().as_secs_f64());
        self.close(input);
    }

    fn close(&mut self, input: &InputName) {
        if let Some(open) = self.open.get_mut(input) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(input);
            }
        }
    }

    pub fn code_of(&self) -> CodeOf {
        self.code_of
    }

    pub fn counts(&self) -> Counts {
        Counts {
            planned: self.planned,
            done: self.done,
            skipped: self.skipped,
            failed: self.failed,
            unfinished: self.open.values().sum(),
            missed: self.missed_count,
        }
    }

    /// Returns the inputs that have not ended.
    pub fn unfinished(&self) -> impl Iterator<Item = &str> {
        self.open.iter().flat_map(|(name, times)| std::iter::repeat_n(&**name, *times))
    }

    /// Returns the seconds from the start of the first input to the end of the last, or until now.
    pub fn seconds(&self) -> f64 {
        match self.began {
            Some(began) if !self.open.is_empty() => began.elapsed().as_secs_f64(),
            _ => self.seconds,
        }
    }

    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.values().sum()
    }
}
