//! From logits to tokens to segments: openai/whisper's decoding without its network.
//!
//! Everything here is arithmetic on rows of logits and lists of tokens. Computing the logits, and for how many windows
//! at once, is left to the engine.

pub mod beam;
pub mod chunk;
pub mod compression;
pub mod fallback;
pub mod language;
pub mod options;
pub mod prompt;
pub mod ranking;
mod ranks;
pub mod rules;
pub mod sampling;
pub mod seek;
pub mod sequence;
pub mod tokenizer;
pub mod window;
pub mod words;

pub use chunk::{ChunkDecoder, DecodedChunk, Handover};
pub use language::{Language, LanguageGuess};
pub use options::{DecodeOptions, SuppressTokens, Task, WhenAllFail, WordTimes};
pub use ranking::Hypothesis;
pub use tokenizer::Tokenizer;
pub use window::{SearchStrategy, WindowOutcome, WindowRequest};
pub use words::{AlignRequest, Alignment};

/// Trims what Python's `str.strip` trims.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}
