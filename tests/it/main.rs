//! Black-box tests of the library's rooms and of the real program, one module per theme.

// Helpers of tests may unwrap as tests may.
#![cfg(test)]

mod aligned_words;
mod audio;
mod backends;
mod batch;
mod bounds;
#[cfg(unix)]
mod browser;
mod cancel;
#[cfg(unix)]
mod chromium;
mod chunk;
mod cli;
mod clips;
mod config;
mod convert;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod cuda_start;
mod decode;
mod diarization;
mod docs;
mod doctor;
mod engine;
mod export;
mod faults;
mod ffmpeg;
mod formats;
mod fuzz;
#[cfg(unix)]
mod gpu_check;
mod html;
mod hub;
mod inputs;
mod language;
mod layers;
mod log;
mod mel;
mod memory;
mod metrics;
mod mistakes;
mod models;
mod network;
mod options;
mod order;
mod outputs;
mod packaging;
mod parity;
mod porting;
mod prefetch;
mod program;
mod quality;
mod recording;
mod report;
mod resume;

mod schema;
mod score;
mod screen;
mod seams;
mod security;
#[cfg(unix)]
mod serve;
mod shortage;
mod speaker_scores;
mod speakers;
mod stdout;
mod subtitles;
mod tokenizer;
mod vad;
mod watch;
mod words;
