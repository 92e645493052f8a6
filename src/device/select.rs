//! From `--device` to a device that works, or the reason why not.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};

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

/// Which devices share the work with the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    These(Vec<DeviceRequest>),
    /// All the other CUDA devices of this machine.
    EveryCuda,
}

impl Default for Beside {
    fn default() -> Self {
        Beside::These(Vec::new())
    }
}

/// A device, or several of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Devices {
    pub first: DeviceRequest,
    pub beside: Beside,
}

impl FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "cuda:all" {
            return Ok(Devices { first: DeviceRequest::Cuda(0), beside: Beside::EveryCuda });
        }
        let wrong = |_| "must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2";
        let all: Vec<DeviceRequest> =
            text.split(',').map(|one| one.trim().parse().map_err(wrong)).collect::<Result<_, _>>()?;
        // They do not compute the same numbers.
        let kind = |one: &DeviceRequest| std::mem::discriminant(one);
        if all.windows(2).any(|pair| kind(&pair[0]) != kind(&pair[1])) {
            return Err("several devices must be of one kind, such as cuda:0,cuda:1".into());
        }
        match all.split_first() {
            Some((DeviceRequest::Auto, rest)) if !rest.is_empty() => Err("auto is one device".into()),
            Some((first, rest)) => Ok(Devices { first: *first, beside: Beside::These(rest.to_vec()) }),
            None => Err("names no device".into()),
        }
    }
}

/// The devices beside the first one. Of all the others, those that can be used.
pub fn select_beside(beside: &Beside) -> Result<Vec<Selected>> {
    match beside {
        Beside::These(requests) => requests.iter().map(|request| select(*request)).collect(),
        Beside::EveryCuda => {
            Ok((1..count()?).filter_map(|ordinal| open(DeviceRequest::Cuda(ordinal)).ok()).collect())
        }
    }
}

/// In which numbers to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Those that suit the device best.
    #[default]
    Auto,
    F32,
    F16,
    BF16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" | "float32" => Ok(Self::F32),
            "f16" | "float16" => Ok(Self::F16),
            "bf16" | "bfloat16" => Ok(Self::BF16),
            _ => Err("must be one of auto, f32, f16, bf16".into()),
        }
    }
}

/// A device that is open.
#[derive(Debug, Clone)]
pub struct Selected {
    pub device: Device,
    /// As the person would name it: `cpu`, `cuda:0`, `metal`.
    pub name: String,
    /// What it computes in.
    pub dtype: DType,
    /// The program chose this device; why it is none of those that it was built for.
    pub passed_over: Option<String>,
}

impl Selected {
    pub fn cpu() -> Self {
        Selected { device: Device::Cpu, name: "cpu".into(), dtype: DType::F32, passed_over: None }
    }

    /// The same device, computing in other numbers.
    pub fn computing_in(self, precision: Precision) -> Result<Self> {
        let dtype = match precision {
            Precision::Auto => self.dtype,
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
            Precision::BF16 => DType::BF16,
        };
        if dtype != DType::F32 && !self.is_accelerator() {
            return Err(Error::Usage {
                what: format!("`--dtype {}`", dtype.as_str()),
                why: "the CPU computes in f32 only".into(),
                hint: Some("leave `--dtype` out, or choose a GPU with `--device`".into()),
            });
        }
        Ok(Selected { dtype, ..self })
    }

    /// The device, and what it computes in where that is not what all of them can.
    pub fn label(&self) -> String {
        match self.dtype {
            DType::F32 => self.name.clone(),
            dtype => format!("{} in {}", self.name, dtype.as_str()),
        }
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
        DeviceRequest::Auto => Ok(best()),
    }
}

/// The first accelerator that works, or the processor.
fn best() -> Selected {
    let cuda = match cfg!(feature = "cuda") {
        true => (0..count().unwrap_or(1)).map(DeviceRequest::Cuda).collect(),
        false => Vec::new(),
    };
    let metal = cfg!(feature = "metal").then_some(DeviceRequest::Metal);
    let mut reason = None;
    for request in cuda.into_iter().chain(metal) {
        match open(request) {
            Ok(selected) => return selected,
            Err(error) => reason = reason.or(Some(error)),
        }
    }
    let told = |error: Error| {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{error}{hint}")
    };
    Selected { passed_over: reason.map(told), ..Selected::cpu() }
}

fn open(request: DeviceRequest) -> Result<Selected> {
    let device = match request {
        DeviceRequest::Cuda(ordinal) => open_cuda(ordinal)?,
        DeviceRequest::Metal if cfg!(feature = "metal") => Device::new_metal(0).map_err(|error| {
            // candle's own text may carry a backtrace behind the first line.
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            let why = format!("no usable Metal device: {reason}");
            Error::Device { device: request.to_string(), why, hint: None }
        })?,
        _ => return Err(not_compiled(request)),
    };
    Ok(Selected { device, name: request.to_string(), dtype: DType::F16, passed_over: None })
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device> {
    super::cuda::open::open(ordinal).map_err(|refusal| refused(DeviceRequest::Cuda(ordinal), &refusal))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<Device> {
    Err(not_compiled(DeviceRequest::Cuda(ordinal)))
}

/// How many CUDA devices there are, at least one, without opening any.
#[cfg(feature = "cuda")]
pub fn count() -> Result<usize> {
    super::cuda::open::count().map_err(|refusal| refused(DeviceRequest::Cuda(0), &refusal))
}

/// How many CUDA devices there are, at least one, without opening any.
#[cfg(not(feature = "cuda"))]
pub fn count() -> Result<usize> {
    Err(not_compiled(DeviceRequest::Cuda(0)))
}

#[cfg(feature = "cuda")]
fn refused(request: DeviceRequest, refusal: &super::cuda::unavailable::Refusal) -> Error {
    Error::Device { device: request.to_string(), why: refusal.to_string(), hint: refusal.hint() }
}

fn not_compiled(request: DeviceRequest) -> Error {
    let why = format!("this program was compiled for {} only", compiled().join(", "));
    Error::Device { device: request.to_string(), why, hint: None }
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
    fn several_devices_are_of_one_kind() {
        let devices = |text: &str| text.parse::<Devices>();
        let these = |first, rest: &[DeviceRequest]| Devices { first, beside: Beside::These(rest.to_vec()) };
        assert_eq!(devices("auto"), Ok(these(DeviceRequest::Auto, &[])));
        assert_eq!(devices("cuda:0, cuda:2"), Ok(these(DeviceRequest::Cuda(0), &[DeviceRequest::Cuda(2)])));
        assert_eq!(devices("cuda:all").unwrap().beside, Beside::EveryCuda);
        for wrong in ["", "cpu,cuda", "auto,auto", "cuda:all,cpu", "cpu,"] {
            assert!(devices(wrong).is_err(), "{wrong}");
        }
        assert_eq!(select_beside(&devices("cpu,cpu,cpu").unwrap().beside).unwrap().len(), 2);
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
