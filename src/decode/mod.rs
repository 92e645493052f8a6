//! From logits to tokens to segments: openai/whisper's decoding without its network.
//!
//! Everything here is arithmetic on rows of logits and lists of tokens; who computes the logits, and for how
//! many windows at once, is the engine's.

pub mod beam;
pub mod chunk;
pub mod compression;
pub mod fallback;
pub mod language;
pub mod options;
pub mod prompt;
pub mod ranking;
pub mod rules;
pub mod sampling;
pub mod seek;
pub mod sequence;
mod text;
pub mod tokenizer;
pub mod words;

pub use chunk::{ChunkDecoder, DecodedChunk, Handover, SearchStrategy, WindowOutcome, WindowRequest};
pub use language::{Language, LanguageGuess};
pub use options::{DecodeOptions, SuppressTokens, Task, WhenAllFail};
pub use ranking::Hypothesis;
pub use tokenizer::Tokenizer;
pub use words::{AlignRequest, Alignment};
