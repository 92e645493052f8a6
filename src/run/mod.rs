//! Carries out a plan: starts inputs, feeds the engines, collects chunks and writes outputs.
//!
//! A [`Session`] owns the models and outlives single runs. The `scheduler` runs on the calling thread and is the only
//! one that emits events; every input has a front-end thread that reads, cuts and converts its audio. Nothing here
//! prints: a caller passes a [`RunContext`] whose sink receives each [`RunEvent`].

mod active_input;
mod backpressure;
mod bench;
mod channels;
mod convert;
mod event;
mod feed;
mod front_end;
mod guard;
mod models;
mod output;
mod partial;
mod queue;
mod request;
mod scheduler;
mod session;
mod speakers;
mod vad_report;
mod waveform;

pub use self::bench::{BenchModel, BenchRequest, BenchResult, CLIP, bench};
pub use self::convert::{Conversion, check_cues, convert};
pub use self::event::{ChunkFigures, RunContext, RunEvent};
pub use self::feed::{Feed, FeedItem};
pub use self::guard::{GuardOptions, shortage};
pub use self::request::{DoneMove, RunRequest, TextEvents};
pub use self::session::{Session, run};
