//! From an input to its outputs: who goes next, and who owns the threads that do it.

pub mod frontend;
