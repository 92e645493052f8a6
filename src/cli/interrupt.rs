//! Ctrl+C and SIGTERM: the first asks everybody to stop, the second ends the program at once.
//!
//! ctrlc hears Ctrl+C on every system; it cannot tell SIGTERM apart, so that is signal-hook's, on Unix.

use crate::cancel::{CancelReason, CancelToken};
use crate::cli::exit::ExitCode;
use crate::error::{Error, Result};

/// Listens as long as it lives.
pub struct Interrupt {
    token: CancelToken,
    #[cfg(unix)]
    terminate: terminate::Listener,
}

impl Interrupt {
    pub fn listen() -> Result<Self> {
        let token = CancelToken::new();
        let on_interrupt = token.clone();
        ctrlc::set_handler(move || request(&on_interrupt, CancelReason::Interrupt))
            .map_err(|error| Error::compute("listening for Ctrl+C", error))?;
        Ok(Self {
            #[cfg(unix)]
            terminate: terminate::Listener::start(token.clone())?,
            token,
        })
    }

    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// The last thing that the program does. A shell that sent a signal wants to see that it was the cause of death.
    pub fn finish(self, code: ExitCode) -> std::process::ExitCode {
        #[cfg(unix)]
        self.terminate.stop();
        match code {
            ExitCode::Interrupted => die(CancelReason::Interrupt),
            ExitCode::Terminated => die(CancelReason::Terminate),
            _ => {}
        }
        code.into()
    }
}

fn request(token: &CancelToken, reason: CancelReason) {
    let asked_before = token.reason().is_some_and(|before| before != CancelReason::OutputClosed);
    token.cancel(reason);
    if asked_before {
        die(reason);
    }
}

/// Ends the process by the signal's default action; returns only where there are no signals.
#[cfg(unix)]
fn die(reason: CancelReason) {
    let signal = match reason {
        CancelReason::Terminate => signal_hook::consts::SIGTERM,
        CancelReason::Interrupt | CancelReason::OutputClosed => signal_hook::consts::SIGINT,
    };
    // On failure the exit code still tells.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}

#[cfg(not(unix))]
fn die(_: CancelReason) {}

#[cfg(unix)]
mod terminate {
    use std::thread::JoinHandle;

    use signal_hook::consts::SIGTERM;
    use signal_hook::iterator::{Handle, Signals};

    use super::request;
    use crate::cancel::{CancelReason, CancelToken};
    use crate::error::{Error, Result};

    pub struct Listener {
        handle: Handle,
        thread: JoinHandle<()>,
    }

    impl Listener {
        pub fn start(token: CancelToken) -> Result<Self> {
            let failed = |error| Error::compute("listening for signals", error);
            let mut signals = Signals::new([SIGTERM]).map_err(failed)?;
            let handle = signals.handle();
            let listen = move || signals.forever().for_each(|_| request(&token, CancelReason::Terminate));
            let thread = std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(failed)?;
            Ok(Self { handle, thread })
        }

        pub fn stop(self) {
            self.handle.close();
            // It only waits for signals; had it panicked, the hook has said so.
            let _ = self.thread.join();
        }
    }
}
