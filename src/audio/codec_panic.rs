//! A panic inside a codec on damaged bytes is damage of that file, not the end of the program.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::panic_message;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would be caught and counted as damage: a panic hook need not report it.
pub fn is_catching_codec_panics() -> bool {
    CATCHING.get()
}

/// Runs foreign code on foreign bytes; the message of its panic if it panics. What `body` touched must then be
/// dropped or reset.
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
    fn a_panic_becomes_a_message() {
        assert_eq!(catch_codec_panic(|| 7), Ok(7));
        let caught = catch_codec_panic(|| {
            assert!(is_catching_codec_panics());
            std::panic::resume_unwind(Box::new("index out of bounds"));
        });
        assert_eq!(caught, Err("the decoder failed: index out of bounds".to_owned()));
        assert!(!is_catching_codec_panics());
    }
}
