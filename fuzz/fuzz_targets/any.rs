//! Runs the target that the environment names.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use transcribe::audio::is_catching_codec_panics;
use transcribe_fuzz::{FuzzTarget, named};

static TARGET: OnceLock<FuzzTarget> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("TRANSCRIBE_FUZZ_TARGET").expect("TRANSCRIBE_FUZZ_TARGET names a target");
        let target = named(&name).unwrap_or_else(|| panic!("there is no target `{name}`"));
        let _ = TARGET.set(target);
        // Panics inside codecs are caught and count as damage of the file; every other panic is a finding.
        let abort = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !is_catching_codec_panics() {
                abort(panic);
            }
        }));
    },
    |data: &[u8]| TARGET.get().expect("set above").check(data)
);
