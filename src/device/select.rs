//! From `--device` to a device that works, or the reason why not.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use crate::error::{Error, Result};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceRequest {
    /// The best that is there.
    #[default]
    Auto,
    Cpu,
    Cuda(usize),
    Metal,
}

impl FromStr for DeviceRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(ordinal) => Ok(Self::Cuda(ordinal)),
                None => Err("must be one of auto, cpu, cuda, cuda:N, metal".into()),
            },
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// A device that is open.
#[derive(Debug, Clone)]
pub struct Selected {
    pub device: Device,
    /// As the person would name it: `cpu`, `cuda:0`, `metal`.
    pub name: String,
}

impl Selected {
    pub fn cpu() -> Self {
        Selected { device: Device::Cpu, name: "cpu".into() }
    }

    pub fn is_accelerator(&self) -> bool {
        !self.device.is_cpu()
    }
}

/// The backends that this program was compiled with.
pub fn compiled() -> &'static [&'static str] {
    match (cfg!(feature = "cuda"), cfg!(feature = "metal")) {
        (false, false) => &["cpu"],
        (true, false) => &["cpu", "cuda"],
        (false, true) => &["cpu", "metal"],
        (true, true) => &["cpu", "cuda", "metal"],
    }
}

pub fn select(request: DeviceRequest) -> Result<Selected> {
    match request {
        DeviceRequest::Cpu => Ok(Selected::cpu()),
        DeviceRequest::Cuda(_) | DeviceRequest::Metal => open(request),
        DeviceRequest::Auto => {
            let found = [DeviceRequest::Cuda(0), DeviceRequest::Metal].into_iter().find_map(|r| open(r).ok());
            Ok(found.unwrap_or_else(Selected::cpu))
        }
    }
}

fn open(request: DeviceRequest) -> Result<Selected> {
    let (kind, opened) = match request {
        DeviceRequest::Cuda(ordinal) if cfg!(feature = "cuda") => ("CUDA", Device::new_cuda(ordinal)),
        DeviceRequest::Metal if cfg!(feature = "metal") => ("Metal", Device::new_metal(0)),
        _ => {
            return Err(Error::Device {
                device: request.to_string(),
                why: format!("this program was compiled for {} only", compiled().join(", ")),
            });
        }
    };
    opened.map(|device| Selected { device, name: request.to_string() }).map_err(|error| {
        // candle's own text may carry a backtrace behind the first line.
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        Error::Device { device: request.to_string(), why: format!("no usable {kind} device: {reason}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<DeviceRequest>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceRequest::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "CPU"] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_device_that_was_not_compiled_in_is_refused_by_name() {
        if !cfg!(feature = "cuda") {
            let error = select(DeviceRequest::Cuda(1)).unwrap_err();
            assert!(error.to_string().contains("`cuda:1`"), "{error}");
        }
        assert!(select(DeviceRequest::Auto).is_ok());
    }
}
