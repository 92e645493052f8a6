//! Compares the measured memory use with known allocations.

use std::path::Path;
use std::process::Command;

use super::*;

const MB: u64 = 1 << 20;

/// Runs a test again in a process of its own, so that no other test affects its measurements. Returns true in that process.
fn is_isolated(name: &str) -> bool {
    const ALONE: &str = "MEMORY_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.env(ALONE, "1").args(["--exact", "--nocapture", &format!("device::memory::tests::{name}")]);
    let output = child.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

#[test]
fn returns_freed_memory_to_the_system() {
    if !is_isolated("returns_freed_memory_to_the_system") {
        return;
    }
    let cpu = Device::Cpu;
    release(&cpu).unwrap();
    let before = MemoryStats::measure(&cpu).unwrap().host;
    let mut blocks: Vec<Vec<u8>> = (0..200 * 64).map(|i| vec![i as u8 | 1; 16 << 10]).collect();
    let full = MemoryStats::measure(&cpu).unwrap().host;
    let grown = full.current - before.current;
    assert!((195 * MB..230 * MB).contains(&grown), "{} MB for 200", grown / MB);
    assert!(full.peak >= full.current && full.free <= full.total);
    // A few blocks stay in between, so that no heap is released as a whole.
    let mut number = 0;
    blocks.retain(|_| {
        number += 1;
        number % 128 == 0
    });
    let released = release(&cpu).unwrap();
    let after = MemoryStats::measure(&cpu).unwrap().host;
    drop(blocks);
    assert!(
        after.current < before.current + 10 * MB,
        "{} MB are kept",
        (after.current - before.current) / MB
    );
    assert!(after.peak >= full.current, "the peak does not fall");
    assert!(released.host > 150 * MB && released.host <= grown + MB, "{released:?}");
    assert_eq!(released.device, 0);
}

#[test]
fn reports_no_device_memory_for_the_cpu() {
    let memory = MemoryStats::measure(&Device::Cpu).unwrap();
    assert_eq!((memory.device, memory.pool), (None, None));
    let host = memory.host;
    assert!(host.current > MB && host.current <= host.peak && host.peak < host.total, "{host:?}");
    assert!(host.free > 0 && host.free < host.total);
}

#[test]
fn free_disk_uses_the_nearest_existing_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let near = |a: Option<u64>, b: Option<u64>| a.unwrap().abs_diff(b.unwrap()) < 1 << 30;
    let here = free_disk(folder);
    assert!(here.unwrap() > 0);
    assert!(near(free_disk(&folder.join("not/yet/there.srt")), here));
}
