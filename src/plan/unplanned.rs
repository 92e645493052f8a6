//! Inputs that were named and cannot be transcribed, while others can.

use std::io;

use super::InputName;
use crate::error::{Error, InputProblem};

/// An input that fails before it is planned.
#[derive(Debug)]
pub struct UnplannedInput {
    pub name: InputName,
    pub error: Error,
}

impl UnplannedInput {
    pub fn new(name: impl Into<InputName>, why: InputProblem) -> Self {
        let name = name.into();
        let error = Error::input(&*name, why);
        Self { name, error }
    }

    /// Returns the failure as a fault of the command line, for when there is nothing else to do.
    pub fn into_fault(self) -> Error {
        let what = format!("`{}`", self.name);
        let why = self.error.chain();
        let why = why.strip_prefix(&format!("{what}: ")).unwrap_or(&why).to_owned();
        Error::Usage { what, why, hint: self.error.hint() }
    }
}

/// An error that names its input.
impl From<Error> for UnplannedInput {
    fn from(error: Error) -> Self {
        Self { name: error.input_name().unwrap_or_default().into(), error }
    }
}

/// Returns why a file that was named cannot be an input; `location` says where a list or manifest names it.
pub fn unusable(error: io::Error, location: Option<&str>) -> InputProblem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            InputProblem::Missing { named_in: location.map(str::to_owned) }
        }
        _ => InputProblem::Unreadable(error),
    }
}
