//! A whole recording with random weights at the true shapes and a fixed number of tokens per window, so that
//! every program that is compared does the same work. Prints one line of JSON.
//!
//! `cargo bench --bench end_to_end -- FILE --size tiny --tokens 64`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use clap::Parser;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::backend::candle::CandleBackend;
use transcribe::backend::{Backend, Capacity, ModelSpec, RowInput, WindowInput};
use transcribe::cancel::CancelToken;
use transcribe::decode::{DecodeOptions, Language, SuppressTokens, Tokenizer};
use transcribe::engine;
use transcribe::job::frontend::{self, FrontEnd};
use transcribe::whisper::{Config, random};

#[derive(Parser)]
struct Args {
    /// The recording
    #[arg(default_value = "fixtures/long/long_en.flac")]
    audio: PathBuf,
    #[arg(long, default_value = "tiny")]
    size: String,
    /// New tokens in every window; nothing ends earlier
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// What `cargo bench` passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let config = Config::published(&args.size).context("no published size has this name")?;
    let vocabulary = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/demo/tokenizer.json");
    let tokenizer = Arc::new(Tokenizer::from_json(&std::fs::read(vocabulary)?, config.vocab_size)?);
    let weights = random::weights(DType::F32, &Device::Cpu);
    let inner = CandleBackend::new(config.clone(), weights, Capacity { windows: 1, sequences: 1 })?;
    let mut backend = Timed { inner, encoding: Duration::ZERO, decoding: Duration::ZERO, steps: 0 };
    let options = DecodeOptions {
        language: Some(Language::ENGLISH),
        temperatures: vec![0.0],
        compression_ratio_threshold: None,
        logprob_threshold: None,
        no_speech_threshold: None,
        condition_on_previous_text: false,
        without_timestamps: true,
        suppress_tokens: SuppressTokens::List { non_speech: true, ids: vec![tokenizer.special().eot] },
        sample_len: Some(args.tokens),
        ..DecodeOptions::default()
    };

    let start = Instant::now();
    let cancel = CancelToken::new();
    let audio = AudioInput::file(&args.audio)?;
    let open = || audio.open(&AudioOptions::default());
    let extent = frontend::measure(&mut open()?, config.num_mel_bins, &cancel, |_| ())?;
    let mut features = FrontEnd::start(open()?, audio.name(), config.num_mel_bins, extent, &cancel)?;
    let decoded =
        engine::transcribe(&mut backend, &tokenizer, &mut features, &options, &cancel, &mut |_| ())?;
    let seconds = start.elapsed().as_secs_f64();

    let tokens: usize = decoded.segments.iter().map(|segment| segment.tokens.len()).sum();
    let audio_seconds = transcribe::time::seconds_of_samples(extent.samples);
    let line = serde_json::json!({
        "size": args.size, "threads": args.threads, "audio_seconds": audio_seconds, "tokens": tokens,
        "seconds": seconds, "times_real_time": audio_seconds / seconds,
        "encoder_seconds": backend.encoding.as_secs_f64(),
        "decoder_seconds": backend.decoding.as_secs_f64(),
        "decoder_steps": backend.steps,
    });
    #[expect(clippy::print_stdout, reason = "the result")]
    {
        println!("{line}");
    }
    Ok(())
}

/// A backend with a stop-watch.
struct Timed {
    inner: CandleBackend,
    encoding: Duration,
    decoding: Duration,
    steps: usize,
}

impl Backend for Timed {
    fn spec(&self) -> &ModelSpec {
        self.inner.spec()
    }

    fn capacity(&self) -> Capacity {
        self.inner.capacity()
    }

    fn encode(&mut self, windows: &[WindowInput<'_>]) -> transcribe::error::Result<()> {
        let start = Instant::now();
        let result = self.inner.encode(windows);
        self.encoding += start.elapsed();
        result
    }

    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> transcribe::error::Result<()> {
        let start = Instant::now();
        let result = self.inner.decode(rows, logits);
        self.decoding += start.elapsed();
        self.steps += 1;
        result
    }

    fn copy_sequence(&mut self, from: usize, to: usize, len: usize) -> transcribe::error::Result<()> {
        self.inner.copy_sequence(from, to, len)
    }
}
