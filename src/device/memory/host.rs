//! Memory of the machine and of this process, free disk space, and the memory that the allocator keeps.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(unix))]
use sysinfo::{DiskRefreshKind, Disks};
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

use super::MemoryUsage;

/// The resident memory of this process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidentMemory {
    pub current: u64,
    pub peak: u64,
}

/// Swap space in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SwapUsage {
    pub used: u64,
    pub free: u64,
}

pub fn usage() -> MemoryUsage {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (mut free, mut total) = (system.available_memory(), system.total_memory());
    if total > 0
        && let Some(group) = system.cgroup_limits()
    {
        // The group's own free figure counts cached files as used.
        total = total.min(group.total_memory);
        free = free.min(total.saturating_sub(group.rss));
    }
    let ResidentMemory { current, peak } = resident();
    MemoryUsage { current, peak, free, total }
}

pub fn swap() -> SwapUsage {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_swap());
    SwapUsage { used: system.used_swap(), free: system.free_swap() }
}

pub fn resident() -> ResidentMemory {
    static PEAK: AtomicU64 = AtomicU64::new(0);
    let status = std::fs::read_to_string("/proc/self/status").ok();
    let ResidentMemory { current, peak } =
        status.as_deref().and_then(from_status).unwrap_or_else(from_system);
    // Linux rounds its counters, so that its peak can fall by a little. Other systems report no peak.
    let peak = peak.max(current);
    ResidentMemory { current, peak: PEAK.fetch_max(peak, Ordering::Relaxed).max(peak) }
}

/// Parses `/proc/self/status` on Linux.
fn from_status(status: &str) -> Option<ResidentMemory> {
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kb: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
        Some(kb << 10)
    };
    Some(ResidentMemory { current: value("VmRSS")?, peak: value("VmHWM")? })
}

/// Measures resident memory on other systems.
fn from_system() -> ResidentMemory {
    let mut system = System::new();
    let own = sysinfo::get_current_pid().ok();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(own.as_slice()), true, kind);
    let current = own.and_then(|pid| system.process(pid)).map_or(0, sysinfo::Process::memory);
    ResidentMemory { current, peak: current }
}

/// Returns the bytes that can still be written below a path, which need not exist yet, or `None` if that is unknown.
pub fn free_disk(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find_map(|ancestor| ancestor.canonicalize().ok())?;
    available_space(&existing)
}

/// Asks the file system itself, which may be in memory or have a quota.
#[cfg(unix)]
fn available_space(existing: &Path) -> Option<u64> {
    let space = nix::sys::statvfs::statvfs(existing).ok()?;
    Some((space.blocks_available() as u64).saturating_mul(space.fragment_size() as u64))
}

/// Asks for all disks and takes the one with the path.
#[cfg(not(unix))]
fn available_space(existing: &Path) -> Option<u64> {
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage());
    let mounts = disks.iter().map(|disk| (disk.mount_point(), disk.available_space()));
    nearest_mount(mounts, existing)
}

/// Returns the value of the nearest mount point above a path; of several at one path the last, which hides the others.
#[cfg(any(not(unix), test))]
fn nearest_mount<'a>(mounts: impl Iterator<Item = (&'a Path, u64)>, path: &Path) -> Option<u64> {
    let above = mounts.filter(|(mount, _)| path.starts_with(mount));
    above.max_by_key(|(mount, _)| mount.components().count()).map(|(_, free)| free)
}

/// Limits the number of arenas of glibc's allocator, unless `MALLOC_ARENA_MAX` does. By default there are eight for each core, and
/// each keeps what its threads have freed, between blocks that are still in use, where `purge` cannot return it.
pub fn limit_arenas(most: u8) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        unsafe extern "C" {
            fn mallopt(param: std::ffi::c_int, value: std::ffi::c_int) -> std::ffi::c_int;
        }
        const M_ARENA_MAX: std::ffi::c_int = -8;
        // SAFETY: any thread may call it at any time.
        unsafe { mallopt(M_ARENA_MAX, most.into()) };
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = most;
}

/// Returns freed memory that glibc's allocator keeps, of all threads, to the system. Other allocators do so themselves, or
/// offer no way to request it.
pub fn purge() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: any thread may call it at any time.
        unsafe { malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_status_of_a_process() {
        let status = "Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(from_status(status), Some(ResidentMemory { current: 1 << 20, peak: 2 << 20 }));
        for wrong in ["", "VmRSS: 1 kB", "VmHWM: 1 kB\nVmRSS: x kB", "VmHWM: 1 kB\nVmRSS: 1"] {
            assert_eq!(from_status(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn both_measurements_agree() {
        let (kernel, library) = (resident(), from_system());
        assert!(kernel.current.abs_diff(library.current) < 64 << 20, "{kernel:?} {library:?}");
    }

    #[test]
    fn selects_the_nearest_mount_point() {
        let mounts =
            [("/", 1), ("/data", 2), ("/data/audio", 3), ("/data2", 4), ("/twice", 5), ("/twice", 6)];
        let free = |path: &str| {
            nearest_mount(mounts.iter().map(|&(at, free)| (Path::new(at), free)), Path::new(path))
        };
        assert_eq!(free("/home/x"), Some(1));
        assert_eq!(free("/data"), Some(2));
        assert_eq!(free("/data/audio/x.wav"), Some(3));
        assert_eq!(free("/data23"), Some(1));
        assert_eq!(free("/twice/x"), Some(6));
        assert_eq!(free("elsewhere"), None);
    }
}
