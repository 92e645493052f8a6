//! The compute devices of the machine: its processor, and its accelerators or the reasons why there are none.

use std::num::NonZero;

use candle_core::Device;
use serde::Serialize;
use sysinfo::{CpuRefreshKind, RefreshKind, System};

use super::memory::MemoryStats;
use super::select::{DeviceRequest, compiled_backends, cuda_device_count, select};
use crate::error::Error;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Processor {
    pub name: String,
    /// Physical cores; `None` if the system does not report them.
    pub cores: Option<usize>,
    /// Threads that this process may use, and uses by default.
    pub threads: usize,
    /// Vector extensions that the kernels benefit from, narrowest first.
    pub extensions: Vec<&'static str>,
}

/// An accelerator, or a kind of accelerator that is not available.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accelerator {
    /// The name that `--device` takes.
    pub device: String,
    pub name: Option<String>,
    /// Free memory in bytes.
    pub free: Option<u64>,
    /// Memory in bytes.
    pub total: Option<u64>,
    /// The reason why it cannot be used; `None` if it can.
    #[serde(rename = "why_not")]
    pub unavailable: Option<String>,
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
    all.into_iter().filter(|(_, is_supported)| *is_supported).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn extensions() -> Vec<&'static str> {
    macro_rules! detected {
        ($($name:tt)*) => { [$(($name, std::arch::is_aarch64_feature_detected!($name))),*] };
    }
    let all = detected!["neon" "fp16" "dotprod" "bf16" "i8mm" "sve" "sve2"];
    all.into_iter().filter(|(_, is_supported)| *is_supported).map(|(name, _)| name).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn extensions() -> Vec<&'static str> {
    Vec::new()
}

/// Returns every accelerator of the machine, and an entry with the reason for each kind that has none.
pub fn accelerators() -> Vec<Accelerator> {
    let mut found: Vec<Accelerator> = match cuda_device_count() {
        Ok(count) => (0..count).map(|ordinal| probe(DeviceRequest::Cuda(ordinal))).collect(),
        Err(error) => vec![unavailable("cuda", why_no_cuda(&error))],
    };
    found.push(probe(DeviceRequest::Metal));
    found
}

fn probe(request: DeviceRequest) -> Accelerator {
    let device = request.to_string();
    let kind = device.split(':').next().unwrap_or_default();
    if !compiled_backends().contains(&kind) {
        return unavailable(&device, not_compiled(kind));
    }
    match select(request) {
        Ok(selected) => {
            let memory = MemoryStats::measure(&selected.device).ok().and_then(|memory| memory.device);
            Accelerator {
                device,
                name: name(&selected.device),
                free: memory.map(|memory| memory.free),
                total: memory.map(|memory| memory.total),
                unavailable: None,
            }
        }
        Err(error) => unavailable(&device, reason(&error)),
    }
}

fn unavailable(device: &str, why: String) -> Accelerator {
    Accelerator { device: device.to_owned(), name: None, free: None, total: None, unavailable: Some(why) }
}

fn not_compiled(kind: &str) -> String {
    format!("not compiled in; build with `--features {kind}`")
}

fn why_no_cuda(error: &Error) -> String {
    let is_compiled = compiled_backends().contains(&"cuda");
    let why = if is_compiled { reason(error) } else { not_compiled("cuda") };
    match nvidia_driver() {
        Some(version) => format!("{why} (NVIDIA driver {version} is installed)"),
        // Otherwise the reason says so already.
        None if !is_compiled => format!("{why} (no NVIDIA driver was found)"),
        None => why,
    }
}

/// Formats an error without the device's name and with its hint.
fn reason(error: &Error) -> String {
    match error {
        Error::Device { why, hint: Some(hint), .. } => format!("{why}; {hint}"),
        Error::Device { why, .. } => why.clone(),
        error => error.to_string(),
    }
}

/// Returns the version of NVIDIA's kernel module, where Linux reports it.
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
    fn parses_the_version_of_the_driver() {
        let text = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12";
        assert_eq!(driver_version(text).as_deref(), Some("570.86.15"));
        assert_eq!(driver_version("NVRM version: none"), None);
    }

    #[test]
    fn lists_every_kind_of_accelerator() {
        let processor = processor();
        assert!(processor.threads > 0 && !processor.name.is_empty());
        let found = accelerators();
        for kind in ["cuda", "metal"] {
            let accelerator = found.iter().find(|found| found.device.starts_with(kind)).unwrap();
            assert_eq!(
                accelerator.unavailable.is_some(),
                select(accelerator.device.parse().unwrap()).is_err()
            );
        }
    }
}
