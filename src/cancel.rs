//! Should we stop? A token that everybody may ask and that only ever escalates.
//!
//! Who sets it is not decided here: the interrupt handler does in the program, tests do by hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Why to stop, in the order of urgency: a later reason replaces an earlier one, never the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CancelReason {
    /// Whoever read the text has gone: a pipe into `head`, say.
    OutputClosed = 1,
    Interrupt = 2,
    Terminate = 3,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelReason::OutputClosed => "the end of whoever read the text",
            CancelReason::Interrupt => "an interrupt",
            CancelReason::Terminate => "a request to terminate",
        })
    }
}

/// Shared by everything that works on one run.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to stop; true if nobody had asked before.
    pub fn cancel(&self, reason: CancelReason) -> bool {
        self.0.fetch_max(reason as u8, Ordering::SeqCst) == 0
    }

    pub fn reason(&self) -> Option<CancelReason> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(CancelReason::OutputClosed),
            2 => Some(CancelReason::Interrupt),
            _ => Some(CancelReason::Terminate),
        }
    }

    /// Called between the smallest steps of work.
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(Error::Cancelled(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_only_escalate() {
        let token = CancelToken::new();
        assert!(token.check().is_ok());
        assert!(token.cancel(CancelReason::Terminate));
        assert!(!token.clone().cancel(CancelReason::Interrupt));
        assert_eq!(token.reason(), Some(CancelReason::Terminate));
        assert!(matches!(token.check(), Err(Error::Cancelled(CancelReason::Terminate))));
    }
}
