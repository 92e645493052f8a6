//! Opens the devices that `--device` requests, or returns the reason why one cannot be used.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Device};

use super::formats::{MatrixFormat, NumberFormats, Precision};
use crate::error::{Error, Result};

/// The device that was requested with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceRequest {
    /// The best one that works.
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

/// The devices that share the work with the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdditionalDevices {
    Listed(Vec<DeviceRequest>),
    /// All other CUDA devices of the machine.
    AllCuda,
}

impl Default for AdditionalDevices {
    fn default() -> Self {
        AdditionalDevices::Listed(Vec::new())
    }
}

/// The requested devices: one, or several of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    pub first: DeviceRequest,
    pub additional: AdditionalDevices,
}

impl FromStr for DeviceList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "cuda:all" {
            return Ok(DeviceList { first: DeviceRequest::Cuda(0), additional: AdditionalDevices::AllCuda });
        }
        let message = |_| "must be one of auto, cpu, cuda, cuda:N, cuda:all, metal, or several of a kind as in cuda:0,cuda:2";
        let all: Vec<DeviceRequest> =
            text.split(',').map(|name| name.trim().parse().map_err(message)).collect::<Result<_, _>>()?;
        // Devices of different kinds do not compute the same numbers.
        let kind = |request: &DeviceRequest| std::mem::discriminant(request);
        if all.windows(2).any(|pair| kind(&pair[0]) != kind(&pair[1])) {
            return Err("several devices must be of one kind, such as cuda:0,cuda:1".into());
        }
        match all.split_first() {
            Some((DeviceRequest::Auto, rest)) if !rest.is_empty() => {
                Err("auto selects one device and cannot be combined".into())
            }
            Some((first, rest)) => {
                Ok(DeviceList { first: *first, additional: AdditionalDevices::Listed(rest.to_vec()) })
            }
            None => Err("names no device".into()),
        }
    }
}

/// Opens the additional devices. With [`AllCuda`](AdditionalDevices::AllCuda), skips those that cannot be used.
pub fn select_additional(additional: &AdditionalDevices) -> Result<Vec<SelectedDevice>> {
    match additional {
        AdditionalDevices::Listed(requests) => requests.iter().map(|request| select(*request)).collect(),
        AdditionalDevices::AllCuda => Ok((1..cuda_device_count()?)
            .filter_map(|ordinal| open(DeviceRequest::Cuda(ordinal)).ok())
            .collect()),
    }
}

/// An open device.
#[derive(Debug, Clone)]
pub struct SelectedDevice {
    pub device: Device,
    /// The name that `--device` takes: `cpu`, `cuda:0`, `metal`.
    pub name: String,
    pub formats: NumberFormats,
    /// The reason why no accelerator was selected, if the program selected the CPU itself.
    pub fallback_reason: Option<String>,
}

impl SelectedDevice {
    pub fn cpu() -> Self {
        SelectedDevice {
            device: Device::Cpu,
            name: "cpu".into(),
            formats: NumberFormats::uniform(DType::F32),
            fallback_reason: None,
        }
    }

    /// Returns the device with another number format, or an error if it does not support it.
    pub fn with_precision(self, precision: Precision) -> Result<Self> {
        let weights = match precision {
            Precision::Auto => return Ok(self),
            Precision::F32 => MatrixFormat::Float(DType::F32),
            Precision::F16 => MatrixFormat::Float(DType::F16),
            Precision::BF16 => MatrixFormat::Float(DType::BF16),
            Precision::Int8 => MatrixFormat::Int8,
        };
        let formats = match (self.is_accelerator(), weights) {
            (true, MatrixFormat::Float(dtype)) => NumberFormats::uniform(dtype),
            (true, MatrixFormat::Int8) => {
                return Err(Error::Usage {
                    what: format!("`--dtype {}`", weights.name()),
                    why: "only the CPU computes in 8-bit integers".into(),
                    hint: Some("choose it with `--device cpu`".into()),
                });
            }
            (false, _) => NumberFormats::cpu(weights),
        };
        Ok(SelectedDevice { formats, ..self })
    }

    /// Returns the device's name, with its number format unless that is f32, which all devices share.
    pub fn label(&self) -> String {
        match self.formats.weights {
            MatrixFormat::Float(DType::F32) => self.name.clone(),
            format => format!("{} in {}", self.name, format.name()),
        }
    }

    pub fn is_accelerator(&self) -> bool {
        !self.device.is_cpu()
    }
}

/// Returns the device kinds that the program was compiled for.
pub fn compiled_backends() -> &'static [&'static str] {
    match (cfg!(feature = "cuda"), cfg!(feature = "metal")) {
        (false, false) => &["cpu"],
        (true, false) => &["cpu", "cuda"],
        (false, true) => &["cpu", "metal"],
        (true, true) => &["cpu", "cuda", "metal"],
    }
}

pub fn select(request: DeviceRequest) -> Result<SelectedDevice> {
    match request {
        DeviceRequest::Cpu => Ok(SelectedDevice::cpu()),
        DeviceRequest::Cuda(_) | DeviceRequest::Metal => open(request),
        DeviceRequest::Auto => Ok(best()),
    }
}

/// Returns the first accelerator that works, or the CPU.
fn best() -> SelectedDevice {
    let cuda = match cfg!(feature = "cuda") {
        true => (0..cuda_device_count().unwrap_or(1)).map(DeviceRequest::Cuda).collect(),
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
    let describe = |error: Error| {
        let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{error}{hint}")
    };
    SelectedDevice { fallback_reason: reason.map(describe), ..SelectedDevice::cpu() }
}

fn open(request: DeviceRequest) -> Result<SelectedDevice> {
    let device = match request {
        DeviceRequest::Cuda(ordinal) => open_cuda(ordinal)?,
        DeviceRequest::Metal if cfg!(feature = "metal") => Device::new_metal(0).map_err(|error| {
            // candle's message may carry a backtrace after the first line.
            let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
            let why = format!("no usable Metal device: {reason}");
            Error::Device { device: request.to_string(), why, hint: None }
        })?,
        _ => return Err(not_compiled(request)),
    };
    Ok(SelectedDevice {
        device,
        name: request.to_string(),
        formats: NumberFormats::uniform(DType::F16),
        fallback_reason: None,
    })
}

#[cfg(feature = "cuda")]
fn open_cuda(ordinal: usize) -> Result<Device> {
    super::cuda::open::open(ordinal).map_err(|why| unavailable(DeviceRequest::Cuda(ordinal), &why))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(ordinal: usize) -> Result<Device> {
    Err(not_compiled(DeviceRequest::Cuda(ordinal)))
}

/// Returns the number of CUDA devices, at least one, without opening any.
#[cfg(feature = "cuda")]
pub fn cuda_device_count() -> Result<usize> {
    super::cuda::open::count().map_err(|why| unavailable(DeviceRequest::Cuda(0), &why))
}

/// Returns the number of CUDA devices, at least one, without opening any.
#[cfg(not(feature = "cuda"))]
pub fn cuda_device_count() -> Result<usize> {
    Err(not_compiled(DeviceRequest::Cuda(0)))
}

#[cfg(feature = "cuda")]
fn unavailable(request: DeviceRequest, why: &super::cuda::CudaUnavailable) -> Error {
    Error::Device { device: request.to_string(), why: why.to_string(), hint: why.hint() }
}

fn not_compiled(request: DeviceRequest) -> Error {
    let why = format!("this program was compiled for {} only", compiled_backends().join(", "));
    Error::Device { device: request.to_string(), why, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print_alike() {
        for name in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(name.parse::<DeviceRequest>().unwrap().to_string(), name);
        }
        assert_eq!("cuda".parse(), Ok(DeviceRequest::Cuda(0)));
        for wrong in ["", "gpu", "cuda:", "cuda:x", "CPU"] {
            assert!(wrong.parse::<DeviceRequest>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn device_lists_hold_one_kind() {
        let devices = |text: &str| text.parse::<DeviceList>();
        let list = |first, rest: &[DeviceRequest]| DeviceList {
            first,
            additional: AdditionalDevices::Listed(rest.to_vec()),
        };
        assert_eq!(devices("auto"), Ok(list(DeviceRequest::Auto, &[])));
        assert_eq!(devices("cuda:0, cuda:2"), Ok(list(DeviceRequest::Cuda(0), &[DeviceRequest::Cuda(2)])));
        assert_eq!(devices("cuda:all").unwrap().additional, AdditionalDevices::AllCuda);
        for wrong in ["", "cpu,cuda", "auto,auto", "cuda:all,cpu", "cpu,"] {
            assert!(devices(wrong).is_err(), "{wrong}");
        }
        assert_eq!(select_additional(&devices("cpu,cpu,cpu").unwrap().additional).unwrap().len(), 2);
    }

    #[test]
    fn rejects_a_device_that_was_not_compiled_in_by_name() {
        if !cfg!(feature = "cuda") {
            let error = select(DeviceRequest::Cuda(1)).unwrap_err();
            assert!(error.to_string().contains("`cuda:1`"), "{error}");
        }
        assert!(select(DeviceRequest::Auto).is_ok());
    }
}
