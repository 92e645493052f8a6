//! The bytes of an input as symphonia wants them.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

trait ReadSeek: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

/// A readable thing of known length.
pub(in crate::audio) struct MediaBytes {
    source: Box<dyn ReadSeek>,
    len: u64,
    streamed: bool,
}

impl MediaBytes {
    pub(in crate::audio) fn new(source: impl Read + Seek + Send + Sync + 'static, len: u64) -> Self {
        Self { source: Box::new(source), len, streamed: false }
    }

    /// The same bytes as if they came through a pipe: demuxers then do not look for what should be at the end.
    pub(super) fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }
}

impl Read for MediaBytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf)
    }
}

impl Seek for MediaBytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}

impl MediaSource for MediaBytes {
    fn is_seekable(&self) -> bool {
        !self.streamed
    }

    fn byte_len(&self) -> Option<u64> {
        (!self.streamed).then_some(self.len)
    }
}
