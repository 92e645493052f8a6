//! What an input is called in events and reports.

use std::fmt::{self, Display, Formatter};
use std::ops::Deref;

/// The name of an input as it was given, with the id that tells several uses of one recording apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputName {
    name: String,
    id: Option<String>,
}

impl InputName {
    pub fn new(name: impl Into<String>, id: Option<String>) -> Self {
        Self { name: name.into(), id }
    }

    /// Returns the id of its line in a manifest, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

impl From<String> for InputName {
    fn from(name: String) -> Self {
        Self::new(name, None)
    }
}

impl From<&str> for InputName {
    fn from(name: &str) -> Self {
        Self::new(name, None)
    }
}

impl From<InputName> for String {
    fn from(name: InputName) -> Self {
        name.name
    }
}

impl Deref for InputName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Display for InputName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
