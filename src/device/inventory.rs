//! What this machine could compute on: its processor, and accelerators or why there are none.

use std::num::NonZero;

use candle_core::Device;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::memory::Memory;
use super::select::{DeviceRequest, compiled, count, select};
use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Processor {
    pub name: String,
    /// None where the system does not tell.
    pub cores: Option<usize>,
    /// What this process may use, and uses unless told otherwise.
    pub threads: usize,
    /// Vector instructions that speed the arithmetic up, narrowest first.
    pub extensions: Vec<&'static str>,
}

/// One kind of accelerator, or one device of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accelerator {
    /// As `--device` takes it.
    pub device: String,
    pub name: Option<String>,
    /// Bytes free and in all.
    pub free: Option<u64>,
    pub total: Option<u64>,
    /// Why it cannot be used; None if it can.
    pub why_not: Option<String>,
}

pub fn processor() -> Processor {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let brand =
        system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).filter(|name| !name.is_empty());
    Processor {
        name: brand.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: System::physical_core_count(),
        threads: std::thread::available_parallelism().map_or(1, NonZero::get),
        extensions: extensions(),
    }
}

#[cfg(target_arch = "x86_64")]
fn extensions() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, is_x86_feature_detected!($name))),*] };
    }
    let all = detected!["sse4.2" "avx" "fma" "avx2" "avx512f" "avx512bw" "avx512vnni" "avx512bf16"];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn extensions() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    let all = detected!["neon" "fp16" "dotprod" "bf16" "i8mm" "sve" "sve2"];
    all.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn extensions() -> Vec<&'static str> {
    Vec::new()
}

/// Every device that is there, and each kind that is not, with the reason.
pub fn accelerators() -> Vec<Accelerator> {
    let mut found: Vec<Accelerator> = match count() {
        Ok(count) => (0..count).map(|ordinal| opened(DeviceRequest::Cuda(ordinal))).collect(),
        Err(error) => vec![absent("cuda", without_cuda(&error))],
    };
    found.push(opened(DeviceRequest::Metal));
    found
}

fn opened(request: DeviceRequest) -> Accelerator {
    let device = request.to_string();
    let kind = device.split(':').next().unwrap_or_default();
    if !compiled().contains(&kind) {
        return absent(&device, not_compiled(kind));
    }
    match select(request) {
        Ok(selected) => {
            let memory = Memory::measure(&selected.device).ok().and_then(|memory| memory.device);
            Accelerator {
                device,
                name: name(&selected.device),
                free: memory.map(|memory| memory.free),
                total: memory.map(|memory| memory.total),
                why_not: None,
            }
        }
        Err(error) => absent(&device, reason(&error)),
    }
}

fn absent(device: &str, why: String) -> Accelerator {
    Accelerator { device: device.to_owned(), name: None, free: None, total: None, why_not: Some(why) }
}

fn not_compiled(kind: &str) -> String {
    format!("not compiled in; `--features {kind}` does that")
}

fn without_cuda(error: &Error) -> String {
    let is_compiled = compiled().contains(&"cuda");
    let why = if is_compiled { reason(error) } else { not_compiled("cuda") };
    match nvidia_driver() {
        Some(version) => format!("{why} (NVIDIA's driver {version} is here)"),
        // Otherwise said already.
        None if !is_compiled => format!("{why} (no driver of NVIDIA's was found)"),
        None => why,
    }
}

/// Without the device's name, with what helps.
fn reason(error: &Error) -> String {
    match error {
        Error::Device { why, hint: Some(hint), .. } => format!("{why}; {hint}"),
        Error::Device { why, .. } => why.clone(),
        error => error.to_string(),
    }
}

/// The version of the kernel's module, where Linux tells it.
pub fn nvidia_driver() -> Option<String> {
    driver_version(&std::fs::read_to_string("/proc/driver/nvidia/version").ok()?)
}

fn driver_version(text: &str) -> Option<String> {
    let is_version =
        |word: &&str| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok());
    text.lines().next()?.split_whitespace().find(is_version).map(str::to_owned)
}

#[cfg(feature = "cuda")]
fn name(device: &Device) -> Option<String> {
    match device {
        Device::Cuda(device) => device.cuda_stream().context().name().ok(),
        _ => None,
    }
}

#[cfg(not(feature = "cuda"))]
fn name(_: &Device) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_is_read() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12";
        assert_eq!(driver_version(text).as_deref(), Some("570.86.15"));
        assert_eq!(driver_version("NVRM version: none"), None);
    }

    #[test]
    fn every_kind_is_told_of() {
        let processor = processor();
        assert!(processor.threads > 0 && !processor.name.is_empty());
        let found = accelerators();
        for kind in ["cuda", "metal"] {
            let accelerator = found.iter().find(|found| found.device.starts_with(kind)).unwrap();
            assert_eq!(accelerator.why_not.is_some(), select(accelerator.device.parse().unwrap()).is_err());
        }
    }
}
