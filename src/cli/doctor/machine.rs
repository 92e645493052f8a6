//! The report about the machine, as a table and as JSON.

use std::path::PathBuf;

use serde::Serialize;

use super::selftest::SelfTest;
use crate::audio::find_ffmpeg;
use crate::cli::human::{size, table};
use crate::device::inventory::{self, Accelerator, Processor};
use crate::device::memory::{self, MemoryStats};
use crate::device::{SelectedDevice, compiled_backends};
use crate::error::Result;
use crate::models::hub::Hub;
use crate::models::hub::store::{self, CachedRepository};

#[derive(Debug, Serialize)]
pub struct MachineReport {
    pub version: &'static str,
    /// The compiled-in backends.
    pub compiled: Vec<&'static str>,
    pub system: String,
    pub processor: Processor,
    pub accelerators: Vec<Accelerator>,
    /// The path of `ffmpeg`, which decodes what the built-in decoders do not know; none if it is not installed.
    pub ffmpeg: Option<PathBuf>,
    pub memory: HostMemory,
    pub models: ModelCache,
    pub hub: HubAccess,
    pub config: ConfigReport,
    pub tests: Vec<SelfTest>,
}

/// Memory in bytes.
#[derive(Debug, Serialize)]
pub struct HostMemory {
    pub total: u64,
    pub free: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

#[derive(Debug, Serialize)]
pub struct ModelCache {
    pub cache: PathBuf,
    /// The names of models that are ready for use.
    pub ready: Vec<String>,
    pub bytes: u64,
    /// The free space on the disk of the cache, if known.
    pub free_disk: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct HubAccess {
    pub endpoint: String,
    pub has_token: bool,
    pub offline: bool,
}

/// The configuration file.
#[derive(Debug, Default, Serialize)]
pub struct ConfigReport {
    /// The path of the file, or where it would be.
    pub path: Option<PathBuf>,
    pub is_used: bool,
    pub faults: Vec<String>,
}

impl MachineReport {
    /// Collects everything except the results of the tests.
    pub fn collect(config: ConfigReport) -> Result<Self> {
        let hub = Hub::from_env(false);
        let host = MemoryStats::measure(&SelectedDevice::cpu().device)?.host;
        let swap = memory::swap();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            compiled: compiled_backends().to_vec(),
            system: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: inventory::processor(),
            accelerators: inventory::accelerators(),
            ffmpeg: find_ffmpeg(),
            memory: HostMemory {
                total: host.total,
                free: host.free,
                swap_total: swap.used + swap.free,
                swap_free: swap.free,
            },
            models: model_cache(&hub)?,
            hub: HubAccess {
                endpoint: hub.shown_endpoint(),
                has_token: hub.token.is_some(),
                offline: hub.offline,
            },
            config,
            tests: Vec::new(),
        })
    }

    pub fn json(&self) -> String {
        // Serializing plain data cannot fail.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        let mut rows = vec![
            (
                "transcribe",
                format!("{}, compiled for {}; {}", self.version, self.compiled.join(", "), self.system),
            ),
            ("cpu", self.processor_line()),
        ];
        rows.extend(self.accelerators.iter().map(|found| (found.device.as_str(), accelerator_line(found))));
        rows.push(("ffmpeg", self.ffmpeg_line()));
        rows.push(("memory", self.memory_line()));
        rows.push(("models", self.models_line()));
        rows.push(("hub", self.hub_line()));
        rows.extend(self.config_lines().into_iter().map(|line| ("settings", line)));
        rows.extend(self.tests.iter().map(|test| ("self-test", test_line(test))));
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|(name, text)| vec![name.to_owned(), text]).collect();
        format!("{}\n{}", table(&rows), self.verdict())
    }

    fn verdict(&self) -> String {
        let failed: Vec<&str> =
            self.tests.iter().filter(|test| !test.passed).map(|test| test.device.as_str()).collect();
        match (failed.is_empty(), self.tests.is_empty(), self.config.faults.is_empty()) {
            (false, _, _) => format!("the self-test failed on {}", failed.join(" and ")),
            (_, true, _) => "nothing was tested".into(),
            (_, _, false) => "the configuration file is invalid; everything else is well".into(),
            (true, false, true) => "all is well".into(),
        }
    }

    fn processor_line(&self) -> String {
        let Processor { name, cores, threads, extensions } = &self.processor;
        let cores = cores.map(|cores| format!("{cores} cores, ")).unwrap_or_default();
        let extensions =
            if extensions.is_empty() { "no known vector extensions" } else { &extensions.join(" ") };
        format!("{name}, {cores}{threads} threads, {extensions}")
    }

    fn ffmpeg_line(&self) -> String {
        match &self.ffmpeg {
            Some(path) => format!("`{}`, for formats that the built-in decoders do not know", path.display()),
            None => "not installed: formats that the built-in decoders do not know cannot be read".into(),
        }
    }

    fn memory_line(&self) -> String {
        let HostMemory { total, free, swap_total, swap_free } = self.memory;
        let swap = match swap_total {
            0 => "no swap".to_owned(),
            total => format!("swap {} of {} free", size(swap_free), size(total)),
        };
        format!("{} of {} free, {swap}", size(free), size(total))
    }

    fn models_line(&self) -> String {
        let ready = match self.models.ready.as_slice() {
            [] => "only the built-in demo".to_owned(),
            names => format!("{} ({})", names.join(", "), size(self.models.bytes)),
        };
        let disk = self
            .models
            .free_disk
            .map(|free| format!(", {} of disk space free", size(free)))
            .unwrap_or_default();
        format!("{ready}; in `{}`{disk}", self.models.cache.display())
    }

    fn hub_line(&self) -> String {
        let token = if self.hub.has_token { "with a token" } else { "without a token" };
        let offline = if self.hub.offline { ", not used: HF_HUB_OFFLINE is set" } else { "" };
        format!("{}, {token}{offline}", self.hub.endpoint)
    }

    fn config_lines(&self) -> Vec<String> {
        let ConfigReport { path, is_used, faults } = &self.config;
        match (path, is_used) {
            _ if !faults.is_empty() => faults.iter().map(|fault| format!("INVALID: {fault}")).collect(),
            (Some(path), true) => vec![format!("from `{}`", path.display())],
            (Some(path), false) => vec![format!("no file; the default path is `{}`", path.display())],
            (None, _) => vec!["no file, and no configuration folder".into()],
        }
    }
}

fn accelerator_line(found: &Accelerator) -> String {
    let memory = match (found.free, found.total) {
        (Some(free), Some(total)) => format!("{} of {} free", size(free), size(total)),
        _ => "available".into(),
    };
    match (&found.unavailable, &found.name) {
        (Some(why), _) => why.clone(),
        (None, Some(name)) => format!("{name}, {memory}"),
        (None, None) => memory,
    }
}

fn test_line(test: &SelfTest) -> String {
    let SelfTest { device, passed, faults, audio_seconds, seconds, load_seconds } = test;
    if !passed {
        return format!("{device}: FAILED: {}", faults.join("; "));
    }
    let speed = audio_seconds / seconds.max(1e-3);
    format!(
        "{device}: passed, {audio_seconds:.0} s of speech in {seconds:.2} s ({speed:.0}x), demo loaded in {load_seconds:.2} s"
    )
}

fn model_cache(hub: &Hub) -> Result<ModelCache> {
    let found = store::repositories(&hub.cache)?;
    let whisper: Vec<&CachedRepository> = found.iter().filter(|repository| repository.is_whisper()).collect();
    let is_ready = |repository: &&&CachedRepository| {
        repository.revisions.iter().any(|r| r.is_whisper() && r.is_complete())
    };
    Ok(ModelCache {
        ready: whisper
            .iter()
            .filter(is_ready)
            .map(|r| crate::cli::models::display_name(r).to_owned())
            .collect(),
        bytes: whisper.iter().map(|repository| repository.bytes()).sum(),
        free_disk: memory::free_disk(&hub.cache),
        cache: hub.cache.clone(),
    })
}
