//! Reads from a pipe that may never deliver, and stops waiting when the run is cancelled.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cancel::CancelToken;

/// A file or pipe whose reads fail once the run is cancelled.
pub(super) struct CancellableStream<'a> {
    file: File,
    cancel: &'a CancelToken,
}

impl Read for CancellableStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.cancel.check().map_err(io::Error::other)?;
            if !self.is_ready()? {
                continue;
            }
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }
}

#[cfg(unix)]
impl<'a> CancellableStream<'a> {
    pub(super) fn stdin(cancel: &'a CancelToken) -> io::Result<Self> {
        use std::os::fd::AsFd;
        // Bypasses the buffer of the standard library, which could hold bytes while `poll` sees an empty pipe.
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { file, cancel })
    }

    /// Opens a pipe without waiting for a writer.
    pub(super) fn open(path: &Path, cancel: &'a CancelToken) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, cancel })
    }

    /// Waits briefly for bytes or the end of the stream.
    fn is_ready(&self) -> io::Result<bool> {
        use std::os::fd::AsFd;

        use nix::errno::Errno;
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        const TIMEOUT_MS: u8 = 50;
        let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut files, PollTimeout::from(TIMEOUT_MS)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// On other systems a read blocks until bytes arrive; cancellation is checked between reads.
#[cfg(not(unix))]
impl<'a> CancellableStream<'a> {
    pub(super) fn stdin(cancel: &'a CancelToken) -> io::Result<Self> {
        use std::os::windows::io::AsHandle;
        let file = File::from(io::stdin().as_handle().try_clone_to_owned()?);
        Ok(Self { file, cancel })
    }

    pub(super) fn open(path: &Path, cancel: &'a CancelToken) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, cancel })
    }

    fn is_ready(&self) -> io::Result<bool> {
        Ok(true)
    }
}
