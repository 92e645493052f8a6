//! The memory of the machine and of this process, free disk, and the allocator's own stock.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

use super::MemoryUsage;

/// What is held in memory, by this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) current: u64,
    pub(super) peak: u64,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwapUsage {
    pub used: u64,
    pub free: u64,
}

pub(super) fn usage() -> MemoryUsage {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (mut free, mut total) = (system.available_memory(), system.total_memory());
    if total > 0
        && let Some(group) = system.cgroup_limits()
    {
        // Not its own figure of what is free: that counts cached files as used.
        total = total.min(group.total_memory);
        free = free.min(total.saturating_sub(group.rss));
    }
    let Resident { current, peak } = resident();
    MemoryUsage { current, peak, free, total }
}

pub fn swap() -> SwapUsage {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_swap());
    SwapUsage { used: system.used_swap(), free: system.free_swap() }
}

pub(super) fn resident() -> Resident {
    static PEAK: AtomicU64 = AtomicU64::new(0);
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let Resident { current, peak } = status.as_deref().and_then(from_status).unwrap_or_else(from_system);
    // Linux rounds its counts, so that its peak can fall by a little; others do not tell one.
    let peak = peak.max(current);
    Resident { current, peak: PEAK.fetch_max(peak, Ordering::Relaxed).max(peak) }
}

/// From Linux' account of a process.
fn from_status(status: &str) -> Option<Resident> {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kb: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        Some(kb << 10)
    };
    Some(Resident { current: value("VmRSS")?, peak: value("VmHWM")? })
}

/// Elsewhere.
fn from_system() -> Resident {
    let mut system = System::new();
    let own = sysinfo::get_current_pid().ok();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(own.as_slice()), true, kind);
    let current = own.and_then(|pid| system.process(pid)).map_or(0, sysinfo::Process::memory);
    Resident { current, peak: current }
}

/// Bytes that can still be written below a path, which need not exist yet. None if nobody knows.
///
/// Of file systems that live in memory nothing is known; the answer is that of the disk they are mounted on.
pub fn free_disk(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())?;
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage());
    let mounts = disks.iter().map(|disk| (disk.mount_point(), disk.available_space()));
    longest(mounts, &existing)
}

/// Of the mount points above a path the nearest; of those at one place the last, which hides the others.
fn longest<'a>(mounts: impl Iterator<Item = (&'a Path, u64)>, path: &Path) -> Option<u64> {
    let above = mounts.filter(|(mount, _)| path.starts_with(mount));
    above.max_by_key(|(mount, _)| mount.components().count()).map(|(_, free)| free)
}

/// Gives back what the C library's allocator has kept of freed memory, of all threads. Other systems' do so by
/// themselves, or cannot be asked.
pub fn purge() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: it may be called at any time, by any thread.
        unsafe { malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_a_process_is_read() {
        let status = "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(from_status(status), Some(Resident { current: 1 << 20, peak: 2 << 20 }));
        for wrong in ["", "VmRSS: 1 kB", "VmHWM: 1 kB\nVmRSS: x kB", "VmHWM: 1 kB\nVmRSS: 1"] {
            assert_eq!(from_status(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn both_accounts_agree() {
        let (kernel, library) = (resident(), from_system());
        assert!(kernel.current.abs_diff(library.current) < 64 << 20, "{kernel:?} {library:?}");
    }

    #[test]
    fn the_nearest_mount_point_counts() {
        let mounts =
            [("/", 1), ("/data", 2), ("/data/audio", 3), ("/data2", 4), ("/twice", 5), ("/twice", 6)];
        let free =
            |path: &str| longest(mounts.iter().map(|&(at, free)| (Path::new(at), free)), Path::new(path));
        assert_eq!(free("/home/x"), Some(1));
        assert_eq!(free("/data"), Some(2));
        assert_eq!(free("/data/audio/x.wav"), Some(3));
        assert_eq!(free("/data23"), Some(1));
        assert_eq!(free("/twice/x"), Some(6));
        assert_eq!(free("elsewhere"), None);
    }
}
