//! What the doctor finds, as a table and as JSON.

use std::path::PathBuf;

use serde::Serialize;

use super::selftest::SelfTest;
use crate::cli::human::{bytes, table};
use crate::device::inventory::{self, Accelerator, Processor};
use crate::device::memory::{self, MemoryStats};
use crate::device::{SelectedDevice, compiled_backends};
use crate::error::Result;
use crate::models::hub::Hub;
use crate::models::hub::store::{self, Repository};

#[derive(Debug, Serialize)]
pub struct Report {
    pub version: &'static str,
    /// Backends that were compiled in.
    pub compiled: Vec<&'static str>,
    pub system: String,
    pub processor: Processor,
    pub accelerators: Vec<Accelerator>,
    pub memory: Figures,
    pub models: Models,
    pub hub: Access,
    pub config: Config,
    pub tests: Vec<SelfTest>,
}

/// In bytes.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub total: u64,
    pub free: u64,
    pub swap_total: u64,
    pub swap_free: u64,
}

#[derive(Debug, Serialize)]
pub struct Models {
    pub cache: PathBuf,
    /// Names of those that can be used as they are.
    pub ready: Vec<String>,
    pub bytes: u64,
    /// On the disk of the cache; none if nobody knows.
    pub free_disk: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Access {
    pub endpoint: String,
    pub has_token: bool,
    pub offline: bool,
}

/// The configuration file.
#[derive(Debug, Default, Serialize)]
pub struct Config {
    /// The one that is used, or where it would be.
    pub path: Option<PathBuf>,
    pub is_used: bool,
    pub faults: Vec<String>,
}

impl Report {
    /// Everything but the tests.
    pub fn of_machine(config: Config) -> Result<Self> {
        let hub = Hub::from_env(false);
        let host = MemoryStats::measure(&SelectedDevice::cpu().device)?.host;
        let swap = memory::swap();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            compiled: compiled_backends().to_vec(),
            system: format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: inventory::processor(),
            accelerators: inventory::accelerators(),
            memory: Figures {
                total: host.total,
                free: host.free,
                swap_total: swap.used + swap.free,
                swap_free: swap.free,
            },
            models: models(&hub)?,
            hub: Access { endpoint: hub.endpoint, has_token: hub.token.is_some(), offline: hub.offline },
            config,
            tests: Vec::new(),
        })
    }

    pub fn json(&self) -> String {
        // Plain data cannot fail to be written.
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
        rows.push(("memory", self.memory_line()));
        rows.push(("models", self.models_line()));
        rows.push(("hub", self.hub_line()));
        rows.extend(self.config_lines().into_iter().map(|line| ("settings", line)));
        rows.extend(self.tests.iter().map(|test| ("self-test", test_line(test))));
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|(name, told)| vec![name.to_owned(), told]).collect();
        format!("{}\n{}", table(&rows), self.verdict())
    }

    fn verdict(&self) -> String {
        let failed: Vec<&str> =
            self.tests.iter().filter(|test| !test.passed).map(|test| test.device.as_str()).collect();
        match (failed.is_empty(), self.tests.is_empty(), self.config.faults.is_empty()) {
            (false, _, _) => format!("the self-test failed on {}", failed.join(" and ")),
            (_, true, _) => "nothing was tested".into(),
            (_, _, false) => "the configuration file is wrong; all else is well".into(),
            (true, false, true) => "all is well".into(),
        }
    }

    fn processor_line(&self) -> String {
        let Processor { name, cores, threads, extensions } = &self.processor;
        let cores = cores.map(|cores| format!("{cores} cores, ")).unwrap_or_default();
        let extensions = if extensions.is_empty() { "no vectors known" } else { &extensions.join(" ") };
        format!("{name}, {cores}{threads} threads, {extensions}")
    }

    fn memory_line(&self) -> String {
        let Figures { total, free, swap_total, swap_free } = self.memory;
        let swap = match swap_total {
            0 => "no swap".to_owned(),
            total => format!("swap {} of {} free", bytes(swap_free), bytes(total)),
        };
        format!("{} of {} free, {swap}", bytes(free), bytes(total))
    }

    fn models_line(&self) -> String {
        let ready = match self.models.ready.as_slice() {
            [] => "none but the demo, which is built in".to_owned(),
            names => format!("{} ({})", names.join(", "), bytes(self.models.bytes)),
        };
        let disk =
            self.models.free_disk.map(|free| format!(", {} of disk free", bytes(free))).unwrap_or_default();
        format!("{ready}; in `{}`{disk}", self.models.cache.display())
    }

    fn hub_line(&self) -> String {
        let token = if self.hub.has_token { "with a token" } else { "without a token" };
        let offline = if self.hub.offline { ", not to be asked: HF_HUB_OFFLINE is set" } else { "" };
        format!("{}, {token}{offline}", self.hub.endpoint)
    }

    fn config_lines(&self) -> Vec<String> {
        let Config { path, is_used, faults } = &self.config;
        match (path, is_used) {
            _ if !faults.is_empty() => faults.iter().map(|fault| format!("WRONG: {fault}")).collect(),
            (Some(path), true) => vec![format!("from `{}`", path.display())],
            (Some(path), false) => vec![format!("no file; its place would be `{}`", path.display())],
            (None, _) => vec!["no file, and no place for one".into()],
        }
    }
}

fn accelerator_line(found: &Accelerator) -> String {
    let memory = match (found.free, found.total) {
        (Some(free), Some(total)) => format!("{} of {} free", bytes(free), bytes(total)),
        _ => "can be used".into(),
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

fn models(hub: &Hub) -> Result<Models> {
    let found = store::repositories(&hub.cache)?;
    let whisper: Vec<&Repository> = found.iter().filter(|repository| repository.is_whisper()).collect();
    let is_ready =
        |repository: &&&Repository| repository.revisions.iter().any(|r| r.is_whisper() && r.is_complete());
    Ok(Models {
        ready: whisper.iter().filter(is_ready).map(|r| crate::cli::models::called(r).to_owned()).collect(),
        bytes: whisper.iter().map(|repository| repository.bytes()).sum(),
        free_disk: memory::free_disk(&hub.cache),
        cache: hub.cache.clone(),
    })
}
