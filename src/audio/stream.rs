//! Bytes from a pipe: they may never come, so whoever waits for them can be told to stop.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cancel::CancelToken;

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
        // Past the buffer of the standard library, which could hold bytes while the pipe has none.
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { file, cancel })
    }

    /// Does not wait for somebody to write into the pipe.
    pub(super) fn open(path: &Path, cancel: &'a CancelToken) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, cancel })
    }

    /// Waits a little while for bytes, or for the end.
    fn is_ready(&self) -> io::Result<bool> {
        use std::os::fd::AsFd;

        use nix::errno::Errno;
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

        const PATIENCE: u8 = 50;
        let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut files, PollTimeout::from(PATIENCE)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Elsewhere a read waits as long as it takes.
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
