//! An instrument of the tests: lets the program stop, or panic, at a moment of the test's choosing instead of by
//! luck. Without its environment variable it does nothing.
//!
//! `TRANSCRIBE_TEST_AT="stop encode 3"`: when the third encoder pass is about to begin, a line on stderr says so,
//! and its thread waits until the program is asked to stop; with `hang` it waits for ever, with `panic` it panics.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cancel::CancelToken;

const VARIABLE: &str = "TRANSCRIBE_TEST_AT";

#[derive(PartialEq)]
enum Act {
    Stop,
    Hang,
    Panic,
}

struct Probe {
    act: Act,
    moment: String,
    /// Times that it is yet to be passed.
    left: AtomicUsize,
}

/// Says that this moment has come.
pub fn reached(moment: &str, cancel: &CancelToken) {
    static PROBE: OnceLock<Option<Probe>> = OnceLock::new();
    let Some(probe) = PROBE.get_or_init(|| parse(&std::env::var(VARIABLE).ok()?)) else { return };
    if probe.moment != moment || probe.left.fetch_sub(1, Ordering::SeqCst) != 1 {
        return;
    }
    assert!(probe.act != Act::Panic, "the test asked for it");
    let _ = writeln!(std::io::stderr(), "probe: {moment}");
    while probe.act == Act::Hang || cancel.reason().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn parse(text: &str) -> Option<Probe> {
    let mut words = text.split(' ');
    let act = match words.next()? {
        "panic" => Act::Panic,
        "hang" => Act::Hang,
        _ => Act::Stop,
    };
    let moment = words.next()?.to_owned();
    let left = AtomicUsize::new(words.next()?.parse().ok()?);
    Some(Probe { act, moment, left })
}
