//! Limits the number of open connections, so that no crowd of clients takes the descriptors that jobs need.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most connections at a time.
const MOST: u64 = 4096;
/// Descriptors that are left to jobs.
const RESERVED: u64 = 256;

/// A place among the open connections, free again when the connection and its last request have ended.
#[derive(Debug, Clone)]
pub struct ConnectionPlace {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Accepts connections up to a number, and closes those beyond it at once.
#[derive(Debug, Clone)]
pub struct LimitedAcceptor<A> {
    inner: A,
    places: Arc<Semaphore>,
}

impl<A> LimitedAcceptor<A> {
    pub fn new(inner: A) -> Self {
        Self { inner, places: Arc::new(Semaphore::new(max_connections())) }
    }
}

impl<A, I, S> Accept<I, S> for LimitedAcceptor<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = A::Stream;
    type Service = AddExtension<A::Service, ConnectionPlace>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else {
            // Dropping the stream closes the connection.
            return Box::pin(async { Err(io::Error::other("too many connections")) });
        };
        let place = ConnectionPlace { _permit: Arc::new(permit) };
        let accepted = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((stream, tower_layer::Layer::layer(&axum::Extension(place), service)))
        })
    }
}

/// Returns how many connections may be open, after asking the system for as many descriptors as it allows.
fn max_connections() -> usize {
    let most = descriptors().map_or(MOST, |most| (most.saturating_sub(RESERVED)).clamp(16, MOST));
    usize::try_from(most).unwrap_or(usize::MAX)
}

#[cfg(unix)]
fn descriptors() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = hard.min(soft.max(MOST + RESERVED));
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => Some(wanted),
        Err(_) => Some(soft),
    }
}

#[cfg(not(unix))]
fn descriptors() -> Option<u64> {
    None
}
