//! `transcribe`: long recordings in, subtitles out.
//!
//! The way of the data:
//!
//! ```text
//! file ─audio→ samples ─chunk→ chunks ─mel→ features ─engine→ segments ─transcript→ transcript ─export→ bytes
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`audio`] | any container and codec → blocks of 16 kHz mono samples |
//! | [`chunk`] | samples → where to cut them |
//! | [`mel`] | samples → chunks of log-mel frames, as a stream |
//! | [`whisper`] | the network: weights, encoder, decoder, caches |
//! | [`decode`] | logits → tokens → segments: tokenizer, rules, fallback, seek; knows no network |
//! | [`engine`] | the continuous batcher: many chunks of [`decode`] side by side on one backend |
//! | [`transcript`] | all segments of one input and where they came from; pure data |
//! | [`export`] | transcript → bytes of one format, written atomically |
//! | [`import`] | transcripts of this and other programs → timed text |
//! | [`score`] | transcripts compared: normalised text, error rates, times |
//! | [`device`] | where the numbers are computed; kernels of the CPU |
//! | [`backend`] | one loaded model on one device; finding and fetching models |
//! | [`job`] | which input goes next, from file to outputs |
//! | [`cli`] | the person: arguments, progress, messages, signals, exit codes |
//!
//! `cancel`, `digest`, `error`, `test_hooks` and `time` are available to every module.

pub mod cancel;
pub mod digest;
pub mod error;
pub mod test_hooks;
pub mod time;

pub mod audio;
pub mod backend;
pub mod chunk;
pub mod cli;
pub mod decode;
pub mod device;
pub mod engine;
pub mod export;
pub mod import;
pub mod job;
pub mod mel;
pub mod score;
pub mod transcript;
pub mod whisper;
