//! Exit codes: what each means, and which error leads to which.

use crate::cancel::CancelReason;
use crate::error::{Error, ScarceResource};

/// The exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    SomeFailed = 1,
    Usage = 2,
    Model = 3,
    Device = 4,
    Memory = 5,
    Output = 6,
    Quality = 7,
    Bug = 101,
    Interrupted = 130,
    Terminated = 143,
}

impl ExitCode {
    const ALL: [ExitCode; 11] = [
        ExitCode::Done,
        ExitCode::SomeFailed,
        ExitCode::Usage,
        ExitCode::Model,
        ExitCode::Device,
        ExitCode::Memory,
        ExitCode::Output,
        ExitCode::Quality,
        ExitCode::Bug,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ];

    /// Returns the code with this number; an unknown number means a failed input.
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|code| *code as u8 == number).unwrap_or(ExitCode::SomeFailed)
    }

    fn meaning(self) -> &'static str {
        match self {
            ExitCode::Done => "all inputs are done",
            ExitCode::SomeFailed => "at least one input failed; the others are done",
            ExitCode::Usage => "the command line or the plan is invalid; nothing was started",
            ExitCode::Model => "the model is missing, unreadable or not a Whisper checkpoint",
            ExitCode::Device => "the device is unavailable or not compiled in",
            ExitCode::Memory => "out of memory",
            ExitCode::Output => "an output could not be written",
            ExitCode::Quality => "a quality gate was not met",
            ExitCode::Bug => "internal error (a bug)",
            ExitCode::Interrupted => "interrupted (SIGINT, Ctrl+C)",
            ExitCode::Terminated => "terminated (SIGTERM)",
        }
    }
}

/// Lists the exit codes for `--help`.
pub fn table() -> String {
    let lines = ExitCode::ALL.map(|code| format!("  {:>3}  {}", code as u8, code.meaning()));
    format!("Exit codes:\n{}", lines.join("\n"))
}

impl From<&Error> for ExitCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::Usage { .. } => ExitCode::Usage,
            // A locked input is no output error: another process writes its outputs.
            Error::InputLocked { .. }
            | Error::Input { .. }
            | Error::Compute { .. }
            | Error::Panicked { .. }
            | Error::BackendClosed { .. }
            | Error::CloseFailed { .. } => ExitCode::SomeFailed,
            Error::Model { why, .. } if why.is_out_of_memory() => ExitCode::Memory,
            Error::Model { .. } | Error::NotANumber { .. } => ExitCode::Model,
            Error::Device { .. } => ExitCode::Device,
            Error::OutOfMemory { .. }
            | Error::InsufficientResources { resource: ScarceResource::Memory, .. } => ExitCode::Memory,
            Error::Output { .. } | Error::InsufficientResources { resource: ScarceResource::Disk, .. } => {
                ExitCode::Output
            }
            Error::QualityGate { .. } => ExitCode::Quality,
            // The reader of stdout closed it after reading all it wanted.
            Error::Cancelled(CancelReason::OutputClosed) => ExitCode::Done,
            Error::Cancelled(CancelReason::Interrupt) => ExitCode::Interrupted,
            Error::Cancelled(CancelReason::Terminate) => ExitCode::Terminated,
            Error::Shared(error) => ExitCode::from(&**error),
        }
    }
}

impl From<&anyhow::Error> for ExitCode {
    /// Errors of other libraries count as failures of an input.
    fn from(error: &anyhow::Error) -> Self {
        error.downcast_ref::<Error>().map_or(ExitCode::SomeFailed, ExitCode::from)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{InputProblem, ModelProblem};

    #[test]
    fn errors_map_to_the_documented_codes() {
        let failed = || std::io::Error::other("no");
        let cases = [
            (Error::usage("a", "b"), 2),
            (Error::input("a", InputProblem::Empty), 1),
            (Error::model("a", ModelProblem::Offline), 3),
            (Error::Device { device: "cuda".into(), why: "absent".into(), hint: None }, 4),
            (Error::OutOfMemory { during: "loading", source: failed().into() }, 5),
            (Error::Output { path: "a".into(), source: failed() }, 6),
            (Error::QualityGate { gate: "a".into(), why: "b".into() }, 7),
            (Error::compute("encoding", failed()), 1),
            (Error::BackendClosed { what: "tiny".into() }, 1),
            (Error::CloseFailed { what: "tiny".into(), source: failed().into() }, 1),
            (Error::Shared(Error::model("a", ModelProblem::Offline).into()), 3),
            (Error::InputLocked { input: "a".into(), journal: "b".into() }, 1),
            (Error::Cancelled(CancelReason::OutputClosed), 0),
            (Error::Cancelled(CancelReason::Interrupt), 130),
            (Error::Cancelled(CancelReason::Terminate), 143),
        ];
        for (error, code) in cases {
            assert_eq!(ExitCode::from(&error) as u8, code, "{error}");
            assert!(table().contains(&format!("{code:>3}  ")));
        }
    }
}
