//! Logits → tokens → segments; knows no network.

pub mod segment;

pub use segment::Segment;
