//! Decides whether an input may start now: is there memory, is there disk space for its outputs, is it small enough?
//! Another process may free what is short, so the guard waits with back-off up to a time limit.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::device::SelectedDevice;
use crate::device::memory::{MemoryStats, free_disk, swap};
use crate::error::{Error, InputProblem, ScarceResource};
use crate::plan::{FreeMemory, InputSource, PlannedInput};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Bytes that must be free before an input is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardOptions {
    pub memory: u64,
    pub device_memory: u64,
    pub disk: u64,
    /// The largest input in bytes.
    pub max_file_size: Option<u64>,
    /// How long to wait for memory or disk space.
    pub timeout: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        let timeout = Duration::from_secs(600);
        Self { memory: 128 << 20, device_memory: 64 << 20, disk: 1 << 20, max_file_size: None, timeout }
    }
}

impl GuardOptions {
    /// Returns the same with other limits for memory.
    pub fn with_memory(&self, free: FreeMemory) -> Self {
        Self { memory: free.host, device_memory: free.device, ..self.clone() }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Guard {
    options: GuardOptions,
    device: SelectedDevice,
    wait: Option<GuardWait>,
}

#[derive(Debug)]
struct GuardWait {
    since: Instant,
    next: Instant,
    pause: Duration,
}

#[derive(Debug)]
pub enum GuardDecision {
    Start,
    /// Check again later; the reason comes with the first wait only.
    Wait(Option<String>),
    Refuse(Error),
}

impl Guard {
    pub fn new(options: GuardOptions, device: SelectedDevice) -> Self {
        Self { options, device, wait: None }
    }

    /// Whether a check is due: not while a pause lasts.
    pub fn is_due(&self, now: Instant) -> bool {
        self.wait.as_ref().is_none_or(|wait| now >= wait.next)
    }

    /// Checks the next input, which stays the same until it is started or refused.
    pub fn check(&mut self, item: &PlannedInput, now: Instant) -> GuardDecision {
        if let Some(error) = self.too_large(item) {
            return GuardDecision::Refuse(error);
        }
        let Some((resource, why)) = self.shortage(item) else {
            self.wait = None;
            return GuardDecision::Start;
        };
        let is_new = self.wait.is_none();
        let wait = self.wait.get_or_insert(GuardWait { since: now, next: now, pause: FIRST_PAUSE });
        if now.saturating_duration_since(wait.since) >= self.options.timeout {
            self.wait = None;
            return GuardDecision::Refuse(Error::InsufficientResources {
                input: item.name().into(),
                resource,
                why,
            });
        }
        let left = (wait.since + self.options.timeout).saturating_duration_since(now);
        wait.next = now + wait.pause.min(left);
        wait.pause = (wait.pause * 2).min(LONGEST_PAUSE);
        GuardDecision::Wait(is_new.then_some(why))
    }

    fn too_large(&self, item: &PlannedInput) -> Option<Error> {
        let (InputSource::File(path), Some(limit)) = (&item.source, self.options.max_file_size) else {
            return None;
        };
        let bytes = path.metadata().ok()?.len();
        (bytes > limit).then(|| Error::input(item.name(), InputProblem::TooLarge { bytes, limit }))
    }

    fn shortage(&self, item: &PlannedInput) -> Option<(ScarceResource, String)> {
        let folder = item.output_folders().into_iter().next().map(|(_, folder)| folder);
        let limits = match item.free_memory {
            Some(free) => &self.options.with_memory(free),
            None => &self.options,
        };
        shortage(limits, &self.device, folder.as_deref(), 0)
    }
}

/// Returns what is short, and by how much; `folder` is where so many bytes are about to be written besides what is wanted free.
pub fn shortage(
    limits: &GuardOptions,
    device: &SelectedDevice,
    folder: Option<&Path>,
    bytes: u64,
) -> Option<(ScarceResource, String)> {
    if let Ok(MemoryStats { host, device: on_device, .. }) = MemoryStats::measure(&device.device) {
        // A total of zero means that the system does not tell.
        if host.total > 0 && host.free < limits.memory {
            let swap = swap();
            let swap = format!("{} of swap are free", megabytes(swap.free));
            let why = short("memory", host.free, limits.memory);
            return Some((ScarceResource::Memory, format!("{why}, {swap}")));
        }
        if let Some(usage) = on_device.filter(|usage| usage.free < limits.device_memory) {
            let what = format!("memory on {}", device.name);
            return Some((ScarceResource::Memory, short(&what, usage.free, limits.device_memory)));
        }
    }
    let (folder, wanted) = (folder?, limits.disk.saturating_add(bytes));
    let free = free_disk(folder).filter(|free| *free < wanted)?;
    let what = format!("disk at `{}`", folder.display());
    Some((ScarceResource::Disk, short(&what, free, wanted)))
}

fn short(what: &str, free: u64, wanted: u64) -> String {
    format!("only {} of {what} are free, and {} are wanted", megabytes(free), megabytes(wanted))
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::export::Format;

    fn item(input: &Path) -> PlannedInput {
        let output = input.with_extension("srt");
        PlannedInput {
            outputs: vec![(Format::Srt, output.clone())],
            requested: vec![output],
            ..PlannedInput::new(InputSource::File(input.into()))
        }
    }

    fn guard(change: impl FnOnce(&mut GuardOptions)) -> Guard {
        let mut options = GuardOptions { timeout: Duration::from_secs(60), ..GuardOptions::default() };
        change(&mut options);
        Guard::new(options, SelectedDevice::cpu())
    }

    #[test]
    fn waits_for_scarce_resources_and_then_refuses() {
        let folder = tempfile::tempdir().unwrap();
        let item = item(&folder.path().join("talk.wav"));
        for (lack, change) in [
            (
                ScarceResource::Memory,
                (|options: &mut GuardOptions| options.memory = u64::MAX) as fn(&mut GuardOptions),
            ),
            (ScarceResource::Disk, |options| options.disk = u64::MAX),
        ] {
            let mut guard = guard(change);
            let start = Instant::now();
            let GuardDecision::Wait(Some(why)) = guard.check(&item, start) else { panic!() };
            assert!(why.contains("are free"), "{why}");
            let (mut now, mut pauses) = (start, Vec::new());
            loop {
                assert!(!guard.is_due(now));
                let next = guard.wait.as_ref().unwrap().next;
                pauses.push(next - now);
                now = next;
                assert!(guard.is_due(now));
                match guard.check(&item, now) {
                    GuardDecision::Wait(why) => assert!(why.is_none()),
                    GuardDecision::Refuse(Error::InsufficientResources { resource: found, .. }) => {
                        break assert_eq!(found, lack);
                    }
                    verdict => panic!("{verdict:?}"),
                }
            }
            assert_eq!(now - start, Duration::from_secs(60));
            assert!(pauses[1] > pauses[0] && pauses.len() < 10, "{pauses:?}");
            // The next input waits anew.
            assert!(matches!(guard.check(&item, now), GuardDecision::Wait(Some(_))));
        }
    }

    #[test]
    fn stops_waiting_once_there_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let item = item(&folder.path().join("talk.wav"));
        let mut guard = guard(|options| options.memory = u64::MAX);
        assert!(matches!(guard.check(&item, Instant::now()), GuardDecision::Wait(Some(_))));
        guard.options.memory = 1;
        assert!(matches!(guard.check(&item, Instant::now()), GuardDecision::Start));
        assert!(guard.is_due(Instant::now()));
    }

    #[test]
    fn refuses_large_files_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path: PathBuf = folder.path().join("talk.wav");
        std::fs::write(&path, [0; 100]).unwrap();
        let verdict = |limit| guard(|o| o.max_file_size = Some(limit)).check(&item(&path), Instant::now());
        assert!(matches!(verdict(100), GuardDecision::Start));
        let GuardDecision::Refuse(error) = verdict(99) else { panic!() };
        assert!(error.to_string().contains("talk.wav"), "{error}");
        assert!(error.hint().unwrap().contains("--max-file-size"));
    }
}
