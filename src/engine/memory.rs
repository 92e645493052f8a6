//! Gives memory back between chunks.

use std::time::Instant;

use super::chunk::FinishedChunk;
use super::worker::Worker;
use super::{ChunkEvent, Footprint};
use crate::device::memory::ReleasePolicy;

impl Worker {
    /// Reports a finished chunk, all of whose tensors are dropped, after giving memory back if the policy says so.
    pub fn finish(&mut self, finished: FinishedChunk) {
        let FinishedChunk { input, index, decoded, started } = finished;
        let seconds = started.elapsed().as_secs_f64();
        self.stats.chunks += 1;
        let is_due = match self.release {
            ReleasePolicy::Never => false,
            ReleasePolicy::Every(chunks) => self.stats.chunks.is_multiple_of(chunks.get() as u64),
        };
        let since = Instant::now();
        // A failure to give memory back is no reason to stop: the next chunk tries again.
        let released = if is_due { self.backend.release().ok() } else { None };
        if let Some(released) = released {
            self.stats.releasing += since.elapsed().as_secs_f64();
            self.stats.released_host += released.host;
            self.stats.released_device += released.device;
        }
        if let Some(memory) = self.backend.memory() {
            input.emit(index, ChunkEvent::Released(Footprint { memory, released, seconds }));
        }
        self.publish_stats();
        input.emit(index, ChunkEvent::ChunkDone(decoded));
    }
}
