//! `transcribe doctor`: describes the machine and the program, and tests whether they work together.

mod machine;
mod selftest;

use anyhow::Result;
use clap::Args;

pub use self::machine::ConfigReport;

use self::machine::MachineReport;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::cancel::CancelToken;
use crate::device::{self, DeviceRequest};
use crate::error::Error;

const EXAMPLES: &str = "Examples:
  transcribe doctor                   describe and test everything, for example for a bug report
  transcribe doctor --device cuda     test the GPU
  transcribe doctor --json            report to a monitor; the exit code says whether all is well

The exit code is 0 if all is well, 1 if the self-test fails on a device, 2 if the configuration file is invalid, and 4 if
the requested device is unavailable.";

/// Describe this machine (devices, memory, models, settings) and test every device with a short recording
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Test only this device: cpu, cuda, cuda:N or metal [default: all available devices]
    #[arg(long)]
    device: Option<DeviceRequest>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(
    args: &DoctorArgs,
    config: ConfigReport,
    printer: Printer,
    cancel: &CancelToken,
) -> Result<ExitCode> {
    let requested = args.device.filter(|device| *device != DeviceRequest::Auto);
    let mut report = MachineReport::collect(config)?;
    let unavailable = test_devices(&mut report, requested, cancel)?;
    let text = if args.json { report.json() } else { report.text() };
    printer.result(&text)?;
    match unavailable {
        Some(error) => Err(error.into()),
        None if report.tests.iter().any(|test| !test.passed) => Ok(ExitCode::SomeFailed),
        None if !report.config.faults.is_empty() => Ok(ExitCode::Usage),
        None => Ok(ExitCode::Done),
    }
}

/// Tests the requested device, or all. Returns the error if the requested device is unavailable; fails only if cancelled.
fn test_devices(
    report: &mut MachineReport,
    requested: Option<DeviceRequest>,
    cancel: &CancelToken,
) -> Result<Option<Error>> {
    if let Some(error) = requested.and_then(|device| device::select(device).err()) {
        return Ok(Some(error));
    }
    let devices: Vec<String> = match requested {
        Some(device) => vec![device.to_string()],
        None => {
            let usable = report.accelerators.iter().filter(|found| found.unavailable.is_none());
            usable.map(|found| found.device.clone()).chain(["cpu".to_owned()]).collect()
        }
    };
    for device in devices {
        let test = selftest::run(&device, cancel);
        cancel.check()?;
        report.tests.push(test);
    }
    Ok(None)
}
