//! Black-box tests of the library's rooms and of the real program, one module per theme.

// Helpers of tests may unwrap as tests may.
#![cfg(test)]

mod audio;
#[cfg(unix)]
mod browser;
mod cancel;
#[cfg(unix)]
mod chromium;
mod chunk;
mod cli;
mod clips;
mod convert;
mod decode;
mod engine;
mod export;
mod html;
mod hub;
mod language;
mod mel;
mod memory;
mod network;
mod parity;
mod program;
mod quality;
mod recording;
mod resume;
mod rooms;
mod score;
mod seams;
mod subtitles;
mod tokenizer;
mod vad;
mod words;
