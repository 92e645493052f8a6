//! Aborts blocking network reads as soon as cancellation is requested.

use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use ureq::Agent;

use crate::cancel::CancelToken;

/// Interval between checks of the cancellation token.
const INTERVAL: Duration = Duration::from_millis(50);

/// Watches the token for as long as this lives.
pub struct CancelWatch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CancelWatch {
    /// Shuts the agent's connections down on cancellation. If no thread can be started, a read ends only at its timeout.
    pub fn start(agent: &Agent, cancel: &CancelToken) -> Self {
        let (end, ended) = bounded::<()>(0);
        let (agent, cancel) = (agent.clone(), cancel.clone());
        let watch = move || {
            while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if cancel.reason().is_some() {
                    return agent.shutdown();
                }
            }
        };
        let thread = std::thread::Builder::new().name("download watch".into()).spawn(watch).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for CancelWatch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that can fail.
            let _ = thread.join();
        }
    }
}
