//! `transcribe bench`: options, and results as a table or as JSON.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::exit::ExitCode;
use super::observers::{Observers, ReportFiles};
use super::printer::Printer;
use super::progress::ProgressMode;
use super::run_output::{RunOutput, TextOutput};
use super::use_threads;
use crate::cancel::CancelToken;
use crate::device::{DeviceRequest, Precision};
use crate::error::Error;
use crate::models::hub::Hub;
use crate::plan::ModelRequest;
use crate::run::{self, BenchModel, BenchRequest, BenchResult};

/// Measure the speed of this machine: run a recording through the whole program, with the same work for every window
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Recording [default: generated, similar to speech]
    audio: Option<PathBuf>,

    /// Duration of the generated recording
    #[arg(long, default_value_t = 300.0, value_name = "SECONDS")]
    seconds: f64,

    /// Model, as for `transcribe` itself
    #[arg(long, short, default_value = "demo", conflicts_with = "random")]
    model: String,

    /// Use random weights in the shapes of a model size: tiny, base, small, medium, large-v3, large-v3-turbo,
    /// distil-large-v3
    #[arg(long, value_name = "SIZE")]
    random: Option<String>,

    /// Do not download models
    #[arg(long)]
    offline: bool,

    /// Number of tokens to decode per window
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=224))]
    tokens: u16,

    /// Number of windows processed at a time [default: as many as suit the device]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    batch_size: Option<u16>,

    /// Target length of sections; 0 processes the recording as a whole. Shorter than in a run, so that one recording fills
    /// the batch as many do
    #[arg(long, default_value_t = 120.0, value_name = "SECONDS")]
    chunk_length: f64,

    /// Number of beams in beam search
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    beam_size: u8,

    /// Also compute word timestamps
    #[arg(long)]
    word_timestamps: bool,

    /// When to return unused memory: every-chunk, after a number of chunks, or never
    #[arg(long, value_name = "WHEN", default_value = "every-chunk")]
    release: super::args::ReleaseArg,

    /// Device to compute on: auto, cpu, cuda, cuda:N or metal
    #[arg(long, default_value = "auto")]
    device: DeviceRequest,

    /// Number format: auto (f16 on a GPU, f32 on the CPU), f32, f16, bf16, or int8 on the CPU. The CPU computes in f32 what it
    /// stores in f16 and bf16
    #[arg(long, default_value = "auto", value_name = "TYPE")]
    dtype: Precision,

    /// Number of CPU threads [default: one per core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl BenchArgs {
    fn request(&self) -> crate::error::Result<BenchRequest> {
        if !(1.0..=36_000.0).contains(&self.seconds) {
            return Err(Error::usage(
                format!("`--seconds {}`", self.seconds),
                "must lie between 1 and 36000",
            ));
        }
        let model = match &self.random {
            Some(size) => BenchModel::Random(size.clone()),
            None => BenchModel::Checkpoint(Box::new(ModelRequest {
                name: self.model.clone(),
                revision: None,
                hub: Hub::from_env(self.offline),
            })),
        };
        Ok(BenchRequest {
            audio: self.audio.clone(),
            seconds: self.seconds,
            model,
            device: self.device,
            precision: self.dtype,
            release: self.release.0,
            tokens: self.tokens.into(),
            beam_size: usize::from(self.beam_size),
            word_timestamps: self.word_timestamps,
            batch_size: self.batch_size.map(usize::from),
            chunk_length: super::args::chunk_length(self.chunk_length)?,
        })
    }
}

pub fn run(args: &BenchArgs, printer: Printer, cancel: &CancelToken) -> Result<ExitCode> {
    use_threads(args.threads.map(usize::from))?;
    let request = args.request()?;
    let output = RunOutput::new(printer, ProgressMode::Auto, TextOutput::default(), cancel);
    let mut observers = Observers::new(output, &ReportFiles::default(), cancel)?;
    let result = observers.observe(|context| run::bench(&request, context))?;
    observers.clear();
    let text = match args.json {
        true => serde_json::to_string(&result).context("cannot serialize the result")?,
        false => table(&result),
    };
    printer.result(&text)?;
    Ok(ExitCode::Done)
}

/// Formats the result as a table.
fn table(figures: &BenchResult) -> String {
    let BenchResult { seconds, audio_seconds, windows, .. } = *figures;
    let share = |part: f64| format!("{part:8.2} s  {:3.0} %", part / seconds * 100.0);
    let per = |whole: f64, parts: u64| whole / parts.max(1) as f64 * 1e3;
    let lines = [
        format!("model          {} on {}, {} threads", figures.model, figures.device, figures.threads),
        format!(
            "work           {audio_seconds:.0} s of audio, {windows} windows of {} tokens, {} at a time",
            figures.tokens_per_window, figures.batch_size
        ),
        format!(
            "all            {seconds:8.2} s  {:.1} times real time, {:.0} tokens per second",
            figures.times_real_time,
            figures.tokens as f64 / seconds
        ),
        format!(
            "encoder        {}  {:.1} ms a window",
            share(figures.encoder_seconds),
            per(figures.encoder_seconds, windows)
        ),
        format!(
            "decoder        {}  {:.2} ms a step of {:.1} rows",
            share(figures.decoder_seconds),
            per(figures.decoder_seconds, figures.decoder_steps),
            figures.rows_per_step
        ),
        format!(
            "words          {}  {:.1} ms a window",
            share(figures.aligning_seconds),
            per(figures.aligning_seconds, windows)
        ),
        format!("waited         {}  for audio", share(figures.waited_for_audio)),
        format!(
            "front end      {:8.2} s  alone: {:.0} times real time",
            figures.front_end_seconds,
            audio_seconds / figures.front_end_seconds
        ),
        format!("slots          {:.1} % occupied", figures.slot_occupancy * 100.0),
        format!("loading        {:8.2} s", figures.load_seconds),
    ];
    lines.join("\n")
}
