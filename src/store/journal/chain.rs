//! Binds the records of a journal to each other: each carries a digest of itself and of everything before it.
//!
//! A checksum of its own exposes a damaged record, but not one that was changed, moved, copied from another journal or taken
//! out along with its checksum. The digest has no secret: whoever can write the journal can write a whole new one, as they
//! can write the outputs.

use crate::digest::sha256_hex;

/// What every chain begins with.
const START: &str = "transcribe journal";
/// Hexadecimal digits of a digest.
const DIGITS: usize = 32;

/// The digest of all records so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChain(String);

impl Default for RecordChain {
    fn default() -> Self {
        Self(START.to_owned())
    }
}

impl RecordChain {
    /// Returns the chain with one record more.
    fn with(&self, record: &str) -> Self {
        let mut digest = sha256_hex(format!("{} {record}", self.0).as_bytes());
        digest.truncate(DIGITS);
        Self(digest)
    }

    /// Returns the line of a record that follows, and the chain that it leads to.
    pub fn seal(&self, record: &str) -> (String, Self) {
        let next = self.with(record);
        (format!("{} {record}", next.0), next)
    }

    /// Returns the record in a line, and the chain that it leads to, if it follows all records before it.
    pub fn open<'l>(&self, line: &'l str) -> Option<(&'l str, Self)> {
        let (digest, record) = line.split_once(' ')?;
        let next = self.with(record);
        (digest == next.0).then_some((record, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_opens_only_where_it_was_sealed() {
        let start = RecordChain::default();
        let (first, after_first) = start.seal("1");
        let (second, after_second) = after_first.seal("2");
        assert_eq!(start.open(&first), Some(("1", after_first.clone())));
        assert_eq!(after_first.open(&second), Some(("2", after_second.clone())));
        assert_eq!(first, "0f281db1ea4a9bd0ccfe91f078ec4482 1");
        // Out of order, after another record, twice, or changed.
        assert_eq!(start.open(&second), None);
        assert_eq!(start.with("0").open(&second), None);
        assert_eq!(after_second.open(&second), None);
        assert_eq!(after_first.open(&second.replace(" 2", " 3")), None);
        assert_eq!(start.open("1"), None);
    }
}
