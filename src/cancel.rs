//! Cooperative cancellation of a run. Setting the token is left to callers: the signal handler in the program, tests by
//! hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};

/// Why a run is stopped, in order of urgency: a more urgent reason replaces a less urgent one, never the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CancelReason {
    /// The reader of standard output is gone, as after `| head`.
    OutputClosed = 1,
    Interrupt = 2,
    Terminate = 3,
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CancelReason::OutputClosed => "a closed standard output",
            CancelReason::Interrupt => "an interrupt",
            CancelReason::Terminate => "a request to terminate",
        })
    }
}

/// A token shared by all parts of a run; its reason only escalates.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicU8>);

impl CancelToken {
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests cancellation and returns whether this was the first request.
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

    /// Fails if the run was cancelled; called between small units of work.
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
