//! The engine's part in keeping memory: giving it back between chunks, and making do with less when it is short.

use std::sync::Arc;
use std::time::Instant;

use super::desk::{Desk, Finish};
use super::seats::Seats;
use super::worker::{Worker, fail};
use super::{Event, Footprint};
use crate::device::memory::ReleasePolicy;
use crate::error::{Error, Result};
use crate::models::Capacity;

impl Worker {
    /// A chunk is finished and all that it held is dropped: gives memory back if it is time, and tells what is held
    /// and what came of the chunk.
    pub fn finish(&mut self, finish: Finish) {
        let Finish { recording, index, decoded, opened } = finish;
        let seconds = opened.elapsed().as_secs_f64();
        self.stats.chunks += 1;
        let is_time = match self.release {
            ReleasePolicy::Never => false,
            ReleasePolicy::Every(chunks) => self.stats.chunks.is_multiple_of(chunks.get() as u64),
        };
        let started = Instant::now();
        // What cannot be given back is no reason to stop; the next chunk tries again.
        let released = if is_time { self.backend.release().ok() } else { None };
        if let Some(released) = released {
            self.stats.releasing += started.elapsed().as_secs_f64();
            self.stats.released_host += released.host;
            self.stats.released_device += released.device;
        }
        if let Some(memory) = self.backend.memory() {
            recording.tell(index, Event::Released(Footprint { memory, released, seconds }));
        }
        self.publish();
        recording.tell(index, Event::ChunkDone(decoded));
    }

    /// Memory was short: half of the slots go, and whoever sat in any of them begins its window again. With one
    /// slot left there is nothing more to give up.
    pub fn make_do_with_less(&mut self, error: Error) {
        if let Err(error) = self.halve(error) {
            self.fail_all(error);
        }
    }

    fn halve(&mut self, error: Error) -> Result<()> {
        self.give_up_windows();
        let slots = self.desks.len() / 2;
        if slots == 0 {
            return Err(error);
        }
        let spare = self.backend.capacity().sequences.saturating_sub(self.desks.len());
        let recordings = self.desks.iter().flatten().chain(&self.parked).map(Desk::recording);
        let recordings = recordings.chain(self.waiting.iter().map(|task| &task.recording));
        let beams = recordings.map(|recording| recording.options.beams_at_once()).max().unwrap_or(1);
        // A window that needs several sequences finds as many as ever.
        let extra = spare.div_ceil(2).max(beams - 1).min(spare);
        self.parked.extend(self.desks.drain(..).flatten());
        self.parked.iter_mut().for_each(Desk::park);
        self.desks = (0..slots).map(|_| None).collect();
        self.seats = Seats::new(slots, slots + extra);
        self.backend.shrink(Capacity { windows: slots, sequences: slots + extra })?;
        self.backend.release().ok();
        self.parked.sort_by_key(|desk| (desk.recording().order, desk.index()));
        for desk in &self.parked {
            desk.recording().tell(desk.index(), Event::SlotsReduced { slots });
        }
        Ok(())
    }

    /// The first of those in work is told the cause; the others share its fate.
    fn fail_all(&mut self, error: Error) {
        let cause = Arc::new(error);
        let shared = || Error::Shared(Arc::clone(&cause));
        let in_work = self.desks.iter_mut().filter_map(Option::take).chain(self.parked.drain(..));
        for desk in in_work.collect::<Vec<_>>() {
            fail(&mut Some(desk), &mut self.seats, shared());
        }
        for task in self.waiting.drain(..) {
            task.recording.fail(task.index, shared());
        }
    }
}
