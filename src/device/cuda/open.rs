//! Opens a CUDA device, once the driver has said that it is there, and that this program can use it.

use candle_core::Device;
use candle_core::cuda_backend::CudaError;
use candle_core::cuda_backend::kernels::FILL;
use cudarc::driver::{DriverError, result, sys};

#[cfg(target_os = "linux")]
use super::libraries;
use super::unavailable::{Refusal, Version, check_kind};
use crate::device::memory;
use crate::error::catch_panic;

/// How many devices the driver shows to this process.
pub fn count() -> Result<usize, Refusal> {
    check_driver()?;
    result::init().map_err(|error| failed("starting NVIDIA's driver", &error))?;
    let count = result::device::get_count().map_err(|error| failed("counting the GPUs", &error))?;
    match usize::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(Refusal::NoDevice { visible: visible() }),
    }
}

/// Memory that is freed on it is kept for the next who asks, until somebody releases it.
pub fn open(ordinal: usize) -> Result<Device, Refusal> {
    check(ordinal)?;
    let open = || {
        let device = Device::new_cuda_with_stream(ordinal)?;
        let cuda = device.as_cuda_device()?;
        // SAFETY: all memory comes by this one stream, in the order in which it was asked for and let go of; the encoder's
        // own stream waits for it and is waited for by hand.
        unsafe { cuda.disable_event_tracking() };
        memory::keep_freed(cuda)?;
        Ok(device)
    };
    // A last resort: what was looked at should leave no reason for a panic.
    let opened = catch_panic("opening it", || Ok(open()));
    match opened {
        Ok(opened) => opened.map_err(|error| refused(&error)),
        Err(error) => Err(Refusal::Failed { during: "opening it", said: error.to_string() }),
    }
}

fn check(ordinal: usize) -> Result<(), Refusal> {
    let count = count()?;
    if ordinal >= count {
        return Err(Refusal::NoSuchDevice { count, visible: visible() });
    }
    let asking = |error: DriverError| failed("asking NVIDIA's driver", &error);
    let device = result::device::get(ordinal.try_into().unwrap_or(i32::MAX)).map_err(asking)?;
    let name = result::device::get_name(device).map_err(asking)?;
    let attribute = |which| {
        // SAFETY: the device is one that the driver has named.
        unsafe { result::device::get_attribute(device, which) }.map_err(asking)
    };
    use sys::CUdevice_attribute as A;
    let capability = Version(
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?.try_into().unwrap_or_default(),
        attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?.try_into().unwrap_or_default(),
    );
    check_kind(&name, capability, built_for())?;
    if attribute(A::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE)? == sys::CUcomputemode::CU_COMPUTEMODE_PROHIBITED as i32
    {
        return Err(Refusal::Forbidden);
    }
    #[cfg(target_os = "linux")]
    libraries::check()?;
    Ok(())
}

/// Whether there is a driver that is new enough: it must compile text that our compiler has written.
fn check_driver() -> Result<(), Refusal> {
    #[cfg(target_os = "linux")]
    libraries::check_driver()?;
    let mut number = 0;
    // SAFETY: the driver writes one number.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut number) }.result();
    asked.map_err(|error| failed("asking NVIDIA's driver for its version", &error))?;
    let [major, minor] = [env!("TRANSCRIBE_CUDA_MAJOR"), env!("TRANSCRIBE_CUDA_MINOR")]
        .map(|number| number.parse().unwrap_or_default());
    let (has, needs) = (Version::of_driver(number), Version(major, minor));
    if has < needs { Err(Refusal::OldDriver { has, needs }) } else { Ok(()) }
}

/// The kind of device that candle's kernels were compiled for, as in `sm_80`.
pub fn built_for() -> &'static str {
    target(FILL.ptx())
}

/// The word behind `.target` in a kernel's text.
fn target(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix(".target"));
    line.unwrap_or_default().trim().split([',', ' ']).next().unwrap_or_default()
}

fn visible() -> Option<String> {
    std::env::var_os("CUDA_VISIBLE_DEVICES").map(|value| value.to_string_lossy().into_owned())
}

fn failed(during: &'static str, error: &DriverError) -> Refusal {
    use sys::CUresult as C;
    match error.0 {
        C::CUDA_ERROR_NO_DEVICE => Refusal::NoDevice { visible: visible() },
        C::CUDA_ERROR_DEVICE_UNAVAILABLE => Refusal::InUse,
        C::CUDA_ERROR_OUT_OF_MEMORY => Refusal::NoMemory,
        code => {
            let text = error.error_string().ok().map(|text| format!(" ({})", text.to_string_lossy()));
            Refusal::Failed { during, said: format!("{code:?}{}", text.unwrap_or_default()) }
        }
    }
}

fn refused(error: &candle_core::Error) -> Refusal {
    if memory::is_exhausted(error) {
        return Refusal::NoMemory;
    }
    match driver_error(error) {
        Some(error) => failed("opening it", error),
        // candle's own text may carry a backtrace behind the first line.
        None => {
            let said = error.to_string().lines().next().unwrap_or_default().to_owned();
            Refusal::Failed { during: "opening it", said }
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
    fn the_kind_that_candle_was_compiled_for_is_known() {
        let made_for = built_for();
        assert!(made_for.starts_with("sm_") && made_for.len() >= 5, "{made_for}");
        assert_eq!(target("//\n.version 9.0\n.target sm_80, debug\n"), "sm_80");
    }

    #[test]
    fn more_devices_than_any_machine_has_are_refused_without_a_panic() {
        assert!(open(4096).is_err());
    }
}
