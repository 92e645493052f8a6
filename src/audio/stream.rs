//! Reads from a pipe that may never deliver, and stops waiting when the run is cancelled.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cancel::CancelToken;

/// Set by whoever no longer needs a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    pub(super) fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A file or pipe whose reads fail once the run is cancelled or nobody needs them.
pub(super) struct CancellableStream {
    file: File,
    cancel: CancelToken,
    stop: StopFlag,
}

impl CancellableStream {
    /// Fails once nothing is to be read any more.
    pub(super) fn check(&self) -> io::Result<()> {
        self.cancel.check().map_err(io::Error::other)?;
        match self.stop.0.load(Ordering::SeqCst) {
            true => Err(io::Error::other("it is no longer needed")),
            false => Ok(()),
        }
    }
}

impl Read for CancellableStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.check()?;
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
impl CancellableStream {
    pub(super) fn stdin(cancel: &CancelToken) -> io::Result<Self> {
        use std::os::fd::AsFd;
        // Bypasses the buffer of the standard library, which could hold bytes while `poll` sees an empty pipe.
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok(Self { file, cancel: cancel.clone(), stop: StopFlag::default() })
    }

    /// Opens a pipe without waiting for a writer.
    pub(super) fn open(path: &Path, cancel: &CancelToken) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
        Ok(Self { file, cancel: cancel.clone(), stop: StopFlag::default() })
    }

    /// Reads what a child process writes.
    pub(super) fn of_child(stdout: ChildStdout, cancel: &CancelToken, stop: &StopFlag) -> Self {
        let file = File::from(std::os::fd::OwnedFd::from(stdout));
        Self { file, cancel: cancel.clone(), stop: stop.clone() }
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
impl CancellableStream {
    pub(super) fn stdin(cancel: &CancelToken) -> io::Result<Self> {
        use std::os::windows::io::AsHandle;
        let file = File::from(io::stdin().as_handle().try_clone_to_owned()?);
        Ok(Self { file, cancel: cancel.clone(), stop: StopFlag::default() })
    }

    pub(super) fn open(path: &Path, cancel: &CancelToken) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, cancel: cancel.clone(), stop: StopFlag::default() })
    }

    pub(super) fn of_child(stdout: ChildStdout, cancel: &CancelToken, stop: &StopFlag) -> Self {
        let file = File::from(std::os::windows::io::OwnedHandle::from(stdout));
        Self { file, cancel: cancel.clone(), stop: stop.clone() }
    }

    fn is_ready(&self) -> io::Result<bool> {
        Ok(true)
    }
}
