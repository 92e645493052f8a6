//! `transcribe`: long recordings in, subtitles out.
//!
//! The flow of the data:
//!
//! ```text
//! input ─audio→ samples ─vad, chunking→ chunks ─mel→ log-mel ─engine→ segments ─transcript→ transcript ─export→ bytes
//!                   └────────────────────────── speakers → turns ──────────────────┘
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`audio`] | any container and codec → blocks of 16 kHz mono samples |
//! | [`vad`] | samples → speech regions |
//! | [`chunking`] | samples and speech regions → chunks: cuts, clips, seams |
//! | [`mel`] | chunks → log-mel frames, as a stream |
//! | [`whisper`] | the network: config, weights, encoder, decoder, KV cache |
//! | [`decode`] | logits → tokens → segments: openai/whisper's algorithm without a network |
//! | [`engine`] | continuous batching: many chunks of [`decode`] side by side on one backend |
//! | [`models`] | name → checkpoint → backend: hub, files of other programs, loading, pool with leases |
//! | [`device`] | device selection, memory and kernels |
//! | [`transcript`] | segments, words, speakers, quality: pure data below everything that uses it |
//! | [`speakers`] | samples → who speaks when, and the speakers of segments and words |
//! | [`export`] | transcript → bytes of one format |
//! | [`import`] | results of this and other programs → timed text |
//! | [`score`] | transcripts compared: normalised text, error rates, times |
//! | [`plan`] | requested inputs → plan: discovery, manifests, output names, shards, what is up to date |
//! | [`store`] | what outlives a run: journal, ledger, fingerprints, atomic files |
//! | [`run`] | plan → outputs: scheduler, front ends, guard, events |
//! | [`report`] | events → JSONL report, metrics, summary |
//! | [`watch`] | folder → runs |
//! | [`serve`] | HTTP → runs: jobs that survive restarts, and OpenAI's API |
//! | [`cli`] | arguments, configuration, terminal, messages, exit codes |
//!
//! `cancel`, `context`, `digest`, `error`, `sync`, `test_hooks` and `time` are available to every module.
//!
//! # Example
//!
//! A run takes a request and a context, whose sink receives what happens as owned events:
//!
//! ```
//! use std::cell::RefCell;
//!
//! use transcribe::cancel::CancelToken;
//! use transcribe::plan::{InputSettings, ModelRequest, PlanRequest};
//! use transcribe::run::{RunContext, RunEvent, RunRequest, run};
//!
//! let recording = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/long/short_en.flac");
//! let settings = InputSettings::new(ModelRequest::named("demo"));
//! let request = RunRequest::new(PlanRequest::new(vec![recording.into()], settings));
//!
//! let (cancel, text) = (CancelToken::new(), RefCell::new(String::new()));
//! let sink = |event| match event {
//!     RunEvent::Segments { segments, .. } => text.borrow_mut().extend(segments.into_iter().map(|s| s.text)),
//!     RunEvent::Failed { input, error } => panic!("{input}: {error}"),
//!     _ => {}
//! };
//! run(&request, RunContext::new(&cancel, &sink)).expect("the plan is valid");
//! assert_eq!(text.into_inner(), " One three. The door is blue. Close Friday two eight Monday six door.");
//! ```

pub mod cancel;
pub mod context;
pub mod digest;
pub mod error;
pub mod limited_read;
mod sync;
pub mod test_hooks;
pub mod time;

pub mod audio;
pub mod chunking;
pub mod cli;
pub mod decode;
pub mod device;
pub mod engine;
pub mod export;
pub mod import;
pub mod mel;
pub mod models;
pub mod plan;
pub mod report;
pub mod run;
pub mod score;
pub mod serve;
pub mod speakers;
pub mod store;
pub mod transcript;
pub mod vad;
pub mod watch;
pub mod whisper;
