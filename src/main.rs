//! The program: parses arguments, installs the signal handlers, runs a command and exits with its code.

use std::process::ExitCode;

use transcribe::cli;
use transcribe::device::memory::NotingAllocator;

#[global_allocator]
static ALLOCATOR: NotingAllocator = NotingAllocator;

fn main() -> ExitCode {
    match cli::start() {
        Ok((args, interrupt)) => {
            let code = cli::run(&args, interrupt.token());
            interrupt.finish(code)
        }
        Err(code) => code.into(),
    }
}
