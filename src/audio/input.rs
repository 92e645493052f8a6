//! What is read: a file, or a stream kept in a temporary file so that it can be read twice.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::decode::{MediaBytes, TrackDecoder};
use super::stream::CancellableStream;
use super::{AudioOptions, AudioReader};
use crate::cancel::CancelToken;
use crate::error::{Error, InputProblem, Result};

/// A recording that can be opened as often as needed.
#[derive(Debug, Clone)]
pub struct AudioInput {
    name: String,
    source: ByteSource,
}

#[derive(Debug, Clone)]
enum ByteSource {
    File(PathBuf),
    Spool(Arc<File>),
}

impl AudioInput {
    /// A file; a pipe is read to its end first.
    pub fn file(path: impl AsRef<Path>) -> Result<Self> {
        Self::file_cancellable(path, &CancelToken::new())
    }

    /// The same, as long as nobody asks to stop.
    pub fn file_cancellable(path: impl AsRef<Path>, cancel: &CancelToken) -> Result<Self> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |e| Error::input(&name, InputProblem::Unreadable(e));
        let kind = std::fs::metadata(path).map_err(unreadable)?;
        if kind.is_dir() {
            return Err(Error::input(&name, InputProblem::Directory));
        }
        if !kind.is_file() {
            return Self::reader(name.clone(), CancellableStream::open(path, cancel).map_err(unreadable)?);
        }
        if kind.len() == 0 {
            return Err(Error::input(&name, InputProblem::Empty));
        }
        Ok(Self { name, source: ByteSource::File(path.to_owned()) })
    }

    /// The program's standard input, read to its end as long as nobody asks to stop.
    pub fn stdin(cancel: &CancelToken) -> Result<Self> {
        let stream = CancellableStream::stdin(cancel);
        Self::reader("-", stream.map_err(|e| Error::input("-", InputProblem::Unreadable(e)))?)
    }

    /// Any stream, read to its end: most containers need to be read from both ends, and some callers read
    /// everything twice. The bytes wait, still compressed, in a temporary file that has no name.
    pub fn reader(name: impl Into<String>, mut from: impl Read) -> Result<Self> {
        let name = name.into();
        let unreadable = |e| Error::input(&name, InputProblem::Unreadable(e));
        let mut spool = tempfile::tempfile().map_err(unreadable)?;
        if io::copy(&mut from, &mut spool).map_err(unreadable)? == 0 {
            return Err(Error::input(&name, InputProblem::Empty));
        }
        Ok(Self { name, source: ByteSource::Spool(Arc::new(spool)) })
    }

    /// What to call it in messages: the path as given, `-` for standard input.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts reading from the beginning. Readers of one input do not disturb each other.
    pub fn open(&self, options: &AudioOptions) -> Result<AudioReader> {
        Ok(AudioReader::here(self.name.clone(), self.decoder(options)?))
    }

    /// The same on threads of its own, which are ahead of whoever asks for blocks. So many threads decode side by
    /// side where the codec allows it; the samples are the same however many they are.
    pub fn open_prefetching(&self, options: &AudioOptions, lanes: usize) -> Result<AudioReader> {
        AudioReader::ahead(&self.name, self.decoder(options)?.spread(lanes))
    }

    fn decoder(&self, options: &AudioOptions) -> Result<TrackDecoder> {
        let extension = match &self.source {
            ByteSource::File(path) => path.extension().and_then(|e| e.to_str()),
            ByteSource::Spool(_) => None,
        };
        TrackDecoder::open(|| self.source.media(), extension, options)
            .map_err(|why| Error::input(&self.name, why))
    }
}

impl ByteSource {
    /// The bytes from their beginning.
    fn media(&self) -> io::Result<MediaBytes> {
        match self {
            ByteSource::File(path) => {
                let file = File::open(path)?;
                let len = file.metadata()?.len();
                Ok(MediaBytes::new(file, len))
            }
            ByteSource::Spool(file) => {
                let len = file.metadata()?.len();
                Ok(MediaBytes::new(SpoolReader { file: Arc::clone(file), position: 0, len }, len))
            }
        }
    }
}

/// Reads a file that others read at the same time: it keeps a position of its own.
struct SpoolReader {
    file: Arc<File>,
    position: u64,
    len: u64,
}

impl Read for SpoolReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(&*self.file, buf, self.position)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(&*self.file, buf, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for SpoolReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.len.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
