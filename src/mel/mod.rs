//! Log-mel features of one stretch of audio.

pub mod features;
