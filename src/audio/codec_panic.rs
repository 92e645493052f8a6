//! Catches panics inside codecs, so that damaged bytes count as damage of that file instead of ending the program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::panic_message;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether a panic on this thread would be caught and counted as damage, so that a panic hook can skip it.
pub fn is_catching_codec_panics() -> bool {
    CATCHING.get()
}

/// Runs third-party code on untrusted bytes and returns a message if it panics. The caller must then drop or reset
/// everything that `body` touched.
pub(super) fn catch_codec_panic<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    let before = CATCHING.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    CATCHING.set(before);
    outcome.map_err(|panic| format!("the decoder failed: {}", panic_message(&*panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_becomes_a_message() {
        assert_eq!(catch_codec_panic(|| 7), Ok(7));
        let caught = catch_codec_panic(|| {
            assert!(is_catching_codec_panics());
            std::panic::resume_unwind(Box::new("index out of bounds"));
        });
        assert_eq!(caught, Err("the decoder failed: index out of bounds".to_owned()));
        assert!(!is_catching_codec_panics());
    }
}
