//! Opens CUDA devices, after checking with the driver that they exist and that this program can use them.

use candle_core::Device;
use candle_core::cuda_backend::CudaError;
use candle_core::cuda_backend::kernels::FILL;
use cudarc::driver::{DriverError, result, sys};

#[cfg(target_os = "linux")]
use super::libraries;
use super::unavailable::{CudaUnavailable, Version, check_architecture};
use crate::device::memory;
use crate::error::catch_panic;

/// Returns the number of devices that are visible to this process, at least one.
pub fn count() -> Result<usize, CudaUnavailable> {
    check_driver()?;
    result::init().map_err(|error| driver_failed("initializing the NVIDIA driver", &error))?;
    let count = result::device::get_count().map_err(|error| driver_failed("counting the GPUs", &error))?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(CudaUnavailable::NoDevice { visible: visible() }),
    }
}

/// Opens a device. Its pool keeps freed memory until it is released.
pub fn open(ordinal: usize) -> Result<Device, CudaUnavailable> {
    check(ordinal)?;
    let open = || {
        let device = Device::new_cuda_with_stream(ordinal)?;
        let cuda = device.as_cuda_device()?;
        // SAFETY: all memory is allocated and freed in the order of this one stream. The encoder's stream is synchronized
        // with it explicitly.
        unsafe { cuda.disable_event_tracking() };
        memory::keep_freed(cuda)?;
        Ok(device)
    };
    // A last resort: after the checks above, nothing should panic.
    let opened = catch_panic("opening it", || Ok(open()));
    match opened {
        Ok(opened) => opened.map_err(|error| unavailable(&error)),
        Err(error) => Err(CudaUnavailable::Failed { during: "opening it", why: error.to_string() }),
    }
}

fn check(ordinal: usize) -> Result<(), CudaUnavailable> {
    let count = count()?;
    if ordinal >= count {
        return Err(CudaUnavailable::NoSuchDevice { count, visible: visible() });
    }
    let query_failed = |error: DriverError| driver_failed("querying the NVIDIA driver", &error);
    let device = result::device::get(ordinal.try_into().unwrap_or(i32::MAX)).map_err(query_failed)?;
    let name = result::device::get_name(device).map_err(query_failed)?;
    let attribute = |which| {
        // SAFETY: the driver returned this device.
        unsafe { result::device::get_attribute(device, which) }.map_err(query_failed)
    };
    use sys::CUdevice_attribute as A;
    let capability = Version(
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?.try_into().unwrap_or_default(),
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?.try_into().unwrap_or_default(),
    );
    check_architecture(&name, capability, compiled_for())?;
    if attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)? == sys::CUcomputemode::CU_COMPUTEMODE_PROHIBITED as i32
    {
        return Err(CudaUnavailable::Prohibited);
    }
    #[cfg(target_os = "linux")]
    libraries::check()?;
    Ok(())
}

/// Checks that a driver is installed and new enough to compile the PTX that our compiler wrote.
fn check_driver() -> Result<(), CudaUnavailable> {
    #[cfg(target_os = "linux")]
    libraries::check_driver()?;
    let mut number = 0;
    // SAFETY: the driver writes one number.
    let queried = unsafe { sys::cuDriverGetVersion(&raw mut number) }.result();
    queried.map_err(|error| driver_failed("querying the version of the NVIDIA driver", &error))?;
    let [major, minor] = [env!("TRANSCRIBE_CUDA_MAJOR"), env!("TRANSCRIBE_CUDA_MINOR")]
        .map(|number| number.parse().unwrap_or_default());
    let (supported, required) = (Version::of_driver(number), Version(major, minor));
    if supported < required { Err(CudaUnavailable::OldDriver { supported, required }) } else { Ok(()) }
}

/// Returns the architecture that candle's kernels were compiled for, such as `sm_80`.
pub fn compiled_for() -> &'static str {
    target_of(FILL.ptx())
}

/// Returns the value of the `.target` directive in PTX.
fn target_of(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix(".target"));
    line.unwrap_or_default().trim().split([',', ' ']).next().unwrap_or_default()
}

fn visible() -> Option<String> {
    std::env::var_os("CUDA_VISIBLE_DEVICES").map(|value| value.to_string_lossy().into_owned())
}

fn driver_failed(during: &'static str, error: &DriverError) -> CudaUnavailable {
    use sys::CUresult as C;
    match error.0 {
        C::CUDA_ERROR_NO_DEVICE => CudaUnavailable::NoDevice { visible: visible() },
        C::CUDA_ERROR_DEVICE_UNAVAILABLE => CudaUnavailable::InUse,
        C::CUDA_ERROR_OUT_OF_MEMORY => CudaUnavailable::NoMemory,
        code => {
            let text = error.error_string().ok().map(|text| format!(" ({})", text.to_string_lossy()));
            CudaUnavailable::Failed { during, why: format!("{code:?}{}", text.unwrap_or_default()) }
        }
    }
}

fn unavailable(error: &candle_core::Error) -> CudaUnavailable {
    if memory::is_exhausted(error) {
        return CudaUnavailable::NoMemory;
    }
    match driver_error(error) {
        Some(error) => driver_failed("opening it", error),
        // candle's message may carry a backtrace after the first line.
        None => {
            let why = error.to_string().lines().next().unwrap_or_default().to_owned();
            CudaUnavailable::Failed { during: "opening it", why }
        }
    }
}

fn driver_error(error: &candle_core::Error) -> Option<&DriverError> {
    use candle_core::Error as E;
    match error {
        E::WithBacktrace { inner, .. } | E::Context { inner, .. } | E::WithPath { inner, .. } => {
            driver_error(inner)
        }
        E::Cuda(cause) => match cause.downcast_ref::<CudaError>() {
            Some(CudaError::Cuda(error) | CudaError::Load { cuda: error, .. }) => Some(error),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_architecture_that_candle_was_compiled_for() {
        let target = compiled_for();
        assert!(target.starts_with("sm_") && target.len() >= 5, "{target}");
        assert_eq!(target_of("//\n.version 9.0\n.target sm_80, debug\n"), "sm_80");
    }

    #[test]
    fn rejects_an_ordinal_out_of_range_without_a_panic() {
        assert!(open(4096).is_err());
    }
}
