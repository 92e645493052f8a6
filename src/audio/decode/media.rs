//! Adapts the bytes of an input to symphonia's `MediaSource`.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

trait ReadSeek: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> ReadSeek for T {}

/// Bytes of known length.
pub(in crate::audio) struct MediaBytes {
    source: Box<dyn ReadSeek>,
    len: u64,
    is_seekable: bool,
}

impl MediaBytes {
    pub(in crate::audio) fn new(source: impl Read + Seek + Send + Sync + 'static, len: u64) -> Self {
        Self { source: Box::new(source), len, is_seekable: true }
    }

    /// Presents the bytes as a pipe, so that demuxers do not look for headers at the end.
    pub(super) fn unseekable(self) -> Self {
        Self { is_seekable: false, ..self }
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
        self.is_seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.is_seekable.then_some(self.len)
    }
}
