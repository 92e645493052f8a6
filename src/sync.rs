//! What threads wait for. `tests/schedules` compiles its users with a scheduler of its own in place of this module, which
//! tries one order of their steps after another.

pub use std::sync::{Condvar, Mutex, MutexGuard};
pub use std::thread;
