//! Ctrl+C and SIGTERM: the first cancels the run, the second ends the program at once.
//!
//! ctrlc handles Ctrl+C on every system; since it cannot distinguish SIGTERM, signal-hook handles that on Unix.

use anyhow::{Context, Result};

use crate::cancel::{CancelReason, CancelToken};
use crate::cli::exit::ExitCode;

/// The signal handlers, active as long as this lives.
pub struct Interrupt {
    token: CancelToken,
    #[cfg(unix)]
    terminate: terminate::TerminateHandler,
}

impl Interrupt {
    pub fn install() -> Result<Self> {
        let token = CancelToken::new();
        let on_interrupt = token.clone();
        ctrlc::set_handler(move || cancel(&on_interrupt, CancelReason::Interrupt))
            .context("cannot handle Ctrl+C")?;
        Ok(Self {
            #[cfg(unix)]
            terminate: terminate::TerminateHandler::start(token.clone())?,
            token,
        })
    }

    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Ends the program with an exit code, or by the signal that stopped it, as shells expect.
    pub fn finish(self, code: ExitCode) -> std::process::ExitCode {
        #[cfg(unix)]
        self.terminate.stop();
        match code {
            ExitCode::Interrupted => end_by_signal(CancelReason::Interrupt),
            ExitCode::Terminated => end_by_signal(CancelReason::Terminate),
            _ => {}
        }
        code.into()
    }
}

fn cancel(token: &CancelToken, reason: CancelReason) {
    let was_cancelled = token.reason().is_some_and(|earlier| earlier != CancelReason::OutputClosed);
    token.cancel(reason);
    if was_cancelled {
        end_by_signal(reason);
    }
}

/// Ends the process by the signal's default action; returns only on systems without signals.
#[cfg(unix)]
fn end_by_signal(reason: CancelReason) {
    let signal = match reason {
        CancelReason::Terminate => signal_hook::consts::SIGTERM,
        CancelReason::Interrupt | CancelReason::OutputClosed => signal_hook::consts::SIGINT,
    };
    // If this fails, the exit code still reports the signal.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

#[cfg(not(unix))]
fn end_by_signal(_: CancelReason) {}

#[cfg(unix)]
mod terminate {
    use std::thread::JoinHandle;

    use anyhow::{Context, Result};
    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::{Handle, Signals};

    use super::cancel;
    use crate::cancel::{CancelReason, CancelToken};

    pub struct TerminateHandler {
        handle: Handle,
        thread: JoinHandle<()>,
    }

    impl TerminateHandler {
        pub fn start(token: CancelToken) -> Result<Self> {
            let mut signals = Signals::new([SIGTERM]).context("cannot handle SIGTERM")?;
            let handle = signals.handle();
            let handle_signals =
                move || signals.forever().for_each(|_| cancel(&token, CancelReason::Terminate));
            let thread = std::thread::Builder::new()
                .name("signals".into())
                .spawn(handle_signals)
                .context("cannot start a thread")?;
            Ok(Self { handle, thread })
        }

        pub fn stop(self) {
            self.handle.close();
            // The thread only waits for signals; if it panicked, the panic hook has reported it.
            let _ = self.thread.join();
        }
    }
}
