//! The bytes of an input as symphonia wants them.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

trait Source: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> Source for T {}

/// A readable thing of known length.
pub(in crate::audio) struct Media {
    source: Box<dyn Source>,
    len: u64,
}

impl Media {
    pub(in crate::audio) fn new(source: impl Read + Seek + Send + Sync + 'static, len: u64) -> Self {
        Self { source: Box::new(source), len }
    }
}

impl Read for Media {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf)
    }
}

impl Seek for Media {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

impl MediaSource for Media {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
