//! `transcribe doctor`: what this machine and this program are, and whether they work together.

mod report;
mod selftest;

use clap::Args;

use self::report::Report;
use super::exit::ExitCode;
use super::printer::Printer;
use crate::cancel::CancelToken;
use crate::device::{self, DeviceRequest};
use crate::error::{Error, Result};

const EXAMPLES: &str = "Examples:
  transcribe doctor                   everything, for a look or for a report of a bug
  transcribe doctor --device cuda     whether the GPU does what it should
  transcribe doctor --json            for a monitor; the exit code tells how it is

It ends with 0 if all is well, 1 if the self-test fails on a device, 2 if the configuration file is wrong, and 4 if the
device that was asked for is absent.";

/// Look at this machine: devices, memory, models, settings; and transcribe a short recording on every device, as a test
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Test only this device: cpu, cuda, cuda:N or metal [default: all that are there]
    #[arg(long)]
    device: Option<DeviceRequest>,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `config` is what is wrong with the configuration file, and where it is.
pub fn run(args: &DoctorArgs, config: report::Config, printer: Printer, cancel: &CancelToken) -> ExitCode {
    let asked = args.device.filter(|device| *device != DeviceRequest::Auto);
    let mut report = match Report::of_machine(config) {
        Ok(report) => report,
        Err(error) => return super::failed(printer, &error),
    };
    let absent = match test_all(&mut report, asked, cancel) {
        Ok(absent) => absent,
        Err(error) => return ExitCode::from(&error),
    };
    let text = if args.json { report.json() } else { report.text() };
    if let ended @ ExitCode::Output = super::told(printer, &text) {
        return ended;
    }
    match absent {
        Some(error) => super::failed(printer, &error),
        None if report.tests.iter().any(|test| !test.passed) => ExitCode::SomeFailed,
        None if !report.config.faults.is_empty() => ExitCode::Usage,
        None => ExitCode::Done,
    }
}

/// Tests the device that was asked for, or all; the error of the one that is absent. Fails only if cancelled.
fn test_all(
    report: &mut Report,
    asked: Option<DeviceRequest>,
    cancel: &CancelToken,
) -> Result<Option<Error>> {
    if let Some(error) = asked.and_then(|device| device::select(device).err()) {
        return Ok(Some(error));
    }
    let devices: Vec<String> = match asked {
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

pub use self::report::Config;
