//! What supplies a run with inputs that nobody knew of when it began.

use crossbeam_channel::{Receiver, never};

use crate::plan::{DiscoveredFile, InputName, PlannedInput};

/// One thing that a feed asks for.
pub enum FeedItem {
    /// A recording to be planned as the request says.
    File(DiscoveredFile),
    /// An input that is planned already. Whatever goes wrong fails only this one.
    Input(Box<PlannedInput>),
    /// An input that is no longer wanted; it ends as failed, with an error that says so.
    Withdrawn(InputName),
}

/// A source of inputs, asked again and again while others are in flight.
pub struct Feed<'a> {
    /// Returns what is new; called with the number of model leases.
    pub next: &'a mut dyn FnMut(usize) -> Vec<FeedItem>,
    /// Receives a message when there may be something new; without one, the feed is asked several times a second.
    pub wake: Receiver<()>,
}

impl<'a> Feed<'a> {
    /// Returns a feed that is only asked several times a second.
    pub fn polled(next: &'a mut dyn FnMut(usize) -> Vec<FeedItem>) -> Self {
        Self { next, wake: never() }
    }
}
