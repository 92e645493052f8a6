//! Reads whole files into memory, but none that is far larger than any file of its kind.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest text that is read: a transcript, a list, a manifest or a report.
pub const MAX_TEXT: u64 = 1 << 30;

/// Reads a file of at most this many bytes. The error of a larger one is [`io::ErrorKind::FileTooLarge`].
pub fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(too_large(length, limit));
    }
    read_stream(file, limit)
}

/// Reads at most this many bytes to the end of a stream, in the same way.
pub fn read_stream(from: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match from.take(limit.saturating_add(1)).read_to_end(&mut bytes)? as u64 {
        read if read > limit => Err(too_large(read, limit)),
        _ => Ok(bytes),
    }
}

fn too_large(bytes: u64, limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("has {bytes} bytes, more than the limit of {limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_refused() {
        assert_eq!(read_stream(b"abc".as_slice(), 3).unwrap(), b"abc");
        let error = read_stream(io::repeat(7), 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "has 4 bytes, more than the limit of 3");
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert_eq!(read_file(file.path(), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        file.as_file().set_len(3).unwrap();
        assert_eq!(read_file(file.path(), 3).unwrap(), [0; 3]);
    }
}
