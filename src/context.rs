//! What all code that works for one run shares: whether to stop, and where its events go.

use crate::cancel::CancelToken;
use crate::error::Result;

/// Cancellation and the sink that events of type `E` go to.
///
/// Events are owned, so that a sink may print them at once, store them or send them to another thread.
pub struct Context<'a, E> {
    pub cancel: &'a CancelToken,
    sink: &'a dyn Fn(E),
}

impl<E> Clone for Context<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Context<'_, E> {}

impl<'a, E> Context<'a, E> {
    pub fn new(cancel: &'a CancelToken, sink: &'a dyn Fn(E)) -> Self {
        Self { cancel, sink }
    }

    pub fn emit(&self, event: E) {
        (self.sink)(event);
    }

    /// Returns an error if the run was cancelled.
    pub fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancel.reason().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::cancel::CancelReason;

    #[test]
    fn emits_to_the_sink_and_reports_cancellation() {
        let (cancel, seen) = (CancelToken::new(), RefCell::new(Vec::new()));
        let sink = |event: u8| seen.borrow_mut().push(event);
        let context = Context::new(&cancel, &sink);
        context.emit(1);
        assert!(context.check().is_ok() && !context.is_cancelled());
        cancel.cancel(CancelReason::Interrupt);
        context.emit(2);
        assert!(context.check().is_err() && context.is_cancelled());
        assert_eq!(*seen.borrow(), [1, 2]);
    }
}
