//! Black-box tests of the library's rooms and of the real program, one module per theme.

// Helpers of tests may unwrap as tests may.
#![cfg(test)]

mod audio;
mod cancel;
mod chunk;
mod cli;
mod clips;
mod config;
mod convert;
mod decode;
mod doctor;
mod engine;
mod export;
mod hub;
mod language;
mod mel;
mod memory;
mod mistakes;
mod models;
mod network;
mod packaging;
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
