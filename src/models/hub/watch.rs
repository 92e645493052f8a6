//! Ends the waiting for the other side of a connection as soon as somebody asks to stop.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use ureq::Agent;

use crate::cancel::CancelToken;

/// How often to ask.
const PATIENCE: Duration = Duration::from_millis(50);

/// Watches as long as it lives.
pub(super) struct Watch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Connections of the agent are closed when the token says so. Without a thread for it they are not, and the
    /// silence of the other side has to end first.
    pub(super) fn over(agent: &Agent, cancel: &CancelToken) -> Self {
        let (end, ended) = bounded::<()>(0);
        let (agent, cancel) = (agent.clone(), cancel.clone());
        let watch = move || {
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                if cancel.reason().is_some() {
                    return agent.shutdown();
                }
            }
        };
        let thread = std::thread::Builder::new().name("download watch".into()).spawn(watch).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It does nothing that could fail.
            let _ = thread.join();
        }
    }
}
