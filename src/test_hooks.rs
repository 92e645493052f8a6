//! Test instrument: stops the program, or makes it panic, at a chosen point of its work, so that tests of
//! cancellation need no sleeps. Compiled in only with the feature `testing`.
//!
//! `TRANSCRIBE_TEST_AT="stop encode 3"`: when the third encoder pass is about to begin, a line on stderr reports it
//! and the thread waits until the program is asked to stop. With `hang` it waits for ever, with `panic` it panics.
//! Without the variable nothing happens.

/// Marks a point at which a test can interrupt the program.
#[cfg(not(feature = "testing"))]
#[inline(always)]
pub fn reached(_: &str, _: &crate::cancel::CancelToken) {}

#[cfg(feature = "testing")]
pub use enabled::reached;

#[cfg(feature = "testing")]
mod enabled {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use crate::cancel::CancelToken;

    const VARIABLE: &str = "TRANSCRIBE_TEST_AT";

    #[derive(PartialEq)]
    enum HookAction {
        Stop,
        Hang,
        Panic,
    }

    struct TestHook {
        action: HookAction,
        point: String,
        /// Passes of the point that remain, the one that triggers the hook included.
        remaining: AtomicUsize,
    }

    /// Triggers the hook if `point` is the one that the environment names, and this the pass that it asks for.
    pub fn reached(point: &str, cancel: &CancelToken) {
        static HOOK: OnceLock<Option<TestHook>> = OnceLock::new();
        let Some(hook) = HOOK.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?)) else { return };
        if hook.point != point || hook.remaining.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        assert!(hook.action != HookAction::Panic, "the test asked for it");
        let _ = writeln!(std::io::stderr(), "test hook: {point}");
        while hook.action == HookAction::Hang || cancel.reason().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn parse(text: &str) -> Option<TestHook> {
        let mut words = text.split(' ');
        let action = match words.next()? {
            "panic" => HookAction::Panic,
            "hang" => HookAction::Hang,
            _ => HookAction::Stop,
        };
        let point = words.next()?.to_owned();
        let remaining = AtomicUsize::new(words.next()?.parse().ok()?);
        Some(TestHook { action, point, remaining })
    }
}
