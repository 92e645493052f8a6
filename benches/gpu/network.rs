//! The network with random weights in the published shapes: compares the device with the CPU, and times its parts.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use clap::Args;
use serde_json::{Value, json};
use transcribe::cancel::CancelToken;
use transcribe::decode::rules::LogitRules;
use transcribe::decode::{DecodeOptions, SuppressTokens};
use transcribe::device::memory::MemoryStats;
use transcribe::device::{NumberFormats, SelectedDevice};
use transcribe::models::candle::CandleBackend;
use transcribe::models::checkpoint::{Checkpoint, CheckpointFiles};
use transcribe::models::device_sampling::sample_on_host;
use transcribe::models::hub::Hub;
use transcribe::models::{Backend, Capacity, DEMO, RowInput, SamplingInput, WindowInput, source};
use transcribe::whisper::weights::WeightSource;
use transcribe::whisper::{WhisperConfig, random};

use crate::{best_seconds, dtype, first_line};

/// The prompt: start of transcript, language, task, no timestamps.
const PROMPT: [u32; 4] = [50258, 50259, 50360, 50364];
/// The token that sampling continues from.
const FIRST: u32 = 2500;
/// The number of tokens to sample.
const SAMPLED: usize = 24;
/// The position of the timed steps: the middle of a window's text.
const POSITION: usize = 64;

/// Returns the rules of `transcribe bench`: without timestamps and end of text.
fn rules() -> Result<Arc<LogitRules>> {
    let demo = demo()?;
    let tokenizer = demo.tokenizer(demo.config()?.vocab_size)?;
    let suppress_tokens = SuppressTokens::List { non_speech: true, ids: vec![tokenizer.special().eot] };
    let options = DecodeOptions { without_timestamps: true, suppress_tokens, ..DecodeOptions::default() };
    Ok(Arc::new(LogitRules::new(&tokenizer, &options)))
}

fn demo() -> Result<Checkpoint> {
    Ok(source::find(DEMO, None, &Hub::from_env(true), &CancelToken::new(), &mut |_| ())?)
}

/// Encodes windows to the end: the device works on them beside the decoder, which must not read what is unfinished.
fn encode(backend: &mut CandleBackend, windows: &[WindowInput<'_>]) -> Result<()> {
    backend.encode(windows)?;
    ensure!(backend.poll_encoded(true)?, "the encoder has not finished though it was waited for");
    Ok(())
}

/// Samples `count` tokens of each sequence, from its position on.
fn sample_tokens(
    backend: &mut CandleBackend,
    rules: &Arc<LogitRules>,
    positions: &[usize],
    count: usize,
) -> Result<Vec<Vec<u32>>> {
    let mut sampled = vec![vec![FIRST]; positions.len()];
    let mut outputs = Vec::new();
    while sampled[0].len() <= count {
        let inputs =
            positions.iter().zip(&sampled).enumerate().map(|(sequence, (position, sampled))| SamplingInput {
                sequence,
                window: sequence,
                position: position + sampled.len() - 1,
                token: sampled[sampled.len() - 1],
                rules,
                sampled,
                temperature: 0.0,
                left: count + 1 - sampled.len(),
                draws: Vec::new(),
            });
        let inputs: Vec<_> = inputs.collect();
        match backend.sampling_steps() {
            0 => sample_on_host(&inputs, 8, &mut |rows, logits| backend.decode(rows, logits), &mut outputs)?,
            _ => backend.sample(&inputs, &mut outputs)?,
        }
        for (sampled, outputs) in sampled.iter_mut().zip(&outputs) {
            sampled.extend(outputs.iter().map(|(token, _)| token));
        }
        let len = sampled[0].len();
        ensure!(sampled.iter().all(|one| one.len() == len), "sequences ended though none may");
    }
    Ok(sampled)
}

/// The configuration and the weights of a network.
struct NetworkSource {
    config: WhisperConfig,
    /// The demo checkpoint's weights, or `None` for random ones.
    weights: Option<Vec<u8>>,
}

impl NetworkSource {
    fn new(size: &str, encoder_layers: Option<usize>, decoder_layers: Option<usize>) -> Result<Self> {
        if size == DEMO {
            let found = demo()?;
            let config = found.config()?;
            let CheckpointFiles::Embedded { weights, .. } = found.files else {
                bail!("the demo is not built in")
            };
            return Ok(Self { config, weights: Some(weights) });
        }
        let full = WhisperConfig::published(size).with_context(|| format!("there is no size `{size}`"))?;
        let config = WhisperConfig {
            encoder_layers: encoder_layers.unwrap_or(full.encoder_layers).min(full.encoder_layers),
            decoder_layers: decoder_layers.unwrap_or(full.decoder_layers).min(full.decoder_layers),
            ..full
        };
        Ok(Self { config, weights: None })
    }

    fn backend(&self, dtype: DType, device: &Device, capacity: Capacity) -> Result<CandleBackend> {
        let weights = match &self.weights {
            Some(bytes) => WeightSource::Bytes(bytes).open(dtype)?,
            None => random::weights(dtype),
        };
        Ok(CandleBackend::new(self.config.clone(), weights, device, NumberFormats::uniform(dtype), capacity)?)
    }
}

#[derive(Debug, Args)]
pub struct Parity {
    /// tiny to large-v3-turbo, with random weights; or demo, with its own weights
    size: String,
    /// The largest number of layers, to save time on the CPU
    #[arg(long)]
    encoder_layers: Option<usize>,
    #[arg(long)]
    decoder_layers: Option<usize>,
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,bf16", value_parser = dtype)]
    dtypes: Vec<DType>,
    #[arg(long, default_value_t = 3)]
    windows: usize,
    /// Steps of one token after the prompts, the same for all sequences
    #[arg(long, default_value_t = 12)]
    steps: usize,
}

/// The outputs of a network for the same input.
struct NetworkOutput {
    encoded: Vec<f32>,
    /// One row for each window after each step.
    logits: Vec<f32>,
    /// The tokens that each sequence then samples.
    written: Vec<Vec<u32>>,
}

impl Parity {
    pub fn run(&self, device: &SelectedDevice) -> Result<Value> {
        let source = NetworkSource::new(&self.size, self.encoder_layers, self.decoder_layers)?;
        let config = &source.config;
        let reference = self.answer(&source, DType::F32, &Device::Cpu)?;
        let mut compared = serde_json::Map::new();
        for &dtype in &self.dtypes {
            let figures = match self.answer(&source, dtype, &device.device) {
                Ok(answer) => json!({
                    "encoder": difference(&reference.encoded, &answer.encoded),
                    "logits": difference(&reference.logits, &answer.logits),
                    "choice": choice(&reference.logits, &answer.logits, config.vocab_size),
                    "written": written_alike(&reference.written, &answer.written),
                }),
                Err(error) => json!({"error": first_line(&format!("{error:#}"))}),
            };
            compared.insert(dtype.as_str().into(), figures);
        }
        Ok(
            json!({"size": self.size, "encoder_layers": config.encoder_layers, "decoder_layers": config.decoder_layers,
            "windows": self.windows, "steps": self.steps, "device": device.name, "dtypes": compared}),
        )
    }

    fn answer(&self, source: &NetworkSource, dtype: DType, device: &Device) -> Result<NetworkOutput> {
        let capacity = Capacity { windows: self.windows, sequences: self.windows };
        let mut backend = source.backend(dtype, device, capacity)?;
        let mels: Vec<Vec<f32>> =
            (0..self.windows).map(|window| random::mel(&source.config, window)).collect();
        let windows: Vec<&[f32]> = mels.iter().map(Vec::as_slice).collect();
        let encoded = backend.encoder_output(&windows)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
        let inputs: Vec<WindowInput<'_>> =
            windows.iter().enumerate().map(|(slot, mel)| WindowInput { slot, mel }).collect();
        encode(&mut backend, &inputs)?;
        // Prompts of different lengths, as in the engine.
        let prompts: Vec<Vec<u32>> = (0..self.windows)
            .map(|n| PROMPT.into_iter().chain(1000..1000 + 7 * n as u32).collect())
            .collect();
        let (mut logits, mut row_logits) = (Vec::new(), Vec::new());
        for step in 0..=self.steps {
            let fed = [2000 + 37 * step as u32];
            let rows = prompts.iter().enumerate().map(|(sequence, prompt)| {
                let (position, tokens) =
                    if step == 0 { (0, &prompt[..]) } else { (prompt.len() + step - 1, &fed[..]) };
                (sequence, position, tokens, [tokens.len() - 1])
            });
            let rows: Vec<_> = rows.collect();
            let rows = rows.iter().map(|(sequence, position, tokens, after)| RowInput {
                sequence: *sequence,
                window: *sequence,
                position: *position,
                tokens,
                logits_after: after,
            });
            backend.decode(&rows.collect::<Vec<_>>(), &mut row_logits)?;
            logits.extend_from_slice(&row_logits);
        }
        let positions: Vec<usize> = prompts.iter().map(|prompt| prompt.len() + self.steps).collect();
        let written = sample_tokens(&mut backend, &rules()?, &positions, SAMPLED)?;
        Ok(NetworkOutput { encoded, logits, written })
    }
}

/// Returns the differences, in units of the root mean square of the reference.
fn difference(reference: &[f32], other: &[f32]) -> Value {
    let count = reference.len().max(1) as f64;
    let size = (reference.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / count).sqrt();
    let apart = || reference.iter().zip(other).map(|(a, b)| f64::from((a - b).abs()));
    // NaN counts as an infinite difference.
    let worst = apart().fold(0.0, |worst: f64, d| if d.is_nan() { f64::INFINITY } else { worst.max(d) });
    let mean = apart().sum::<f64>() / count;
    let is_whole = reference.len() == other.len() && worst.is_finite();
    json!({"worst": worst / size, "mean": mean / size, "size": size, "count": reference.len(), "whole": is_whole})
}

/// Returns how often both select the same token, and the largest score difference where they do not.
fn choice(reference: &[f32], other: &[f32], vocabulary: usize) -> Value {
    let size =
        (reference.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / reference.len().max(1) as f64).sqrt();
    let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
    let (mut same, mut rows, mut regret) = (0, 0, 0.0f64);
    for (row, others) in reference.chunks(vocabulary).zip(other.chunks(vocabulary)) {
        let (ours, theirs) = (best(row), best(others));
        rows += 1;
        same += usize::from(ours == theirs);
        regret = regret.max(f64::from(row[ours] - row[theirs]));
    }
    json!({"rows": rows, "same": same, "regret": regret / size})
}

/// Returns the number of sampled tokens, and the number of them before the first difference.
fn written_alike(reference: &[Vec<u32>], other: &[Vec<u32>]) -> Value {
    let alike = |(a, b): (&Vec<u32>, &Vec<u32>)| a.iter().zip(b).take_while(|(a, b)| a == b).count() - 1;
    let same: usize = reference.iter().zip(other).map(alike).sum();
    json!({"tokens": reference.len() * SAMPLED, "same": same})
}

#[derive(Debug, Args)]
pub struct Speed {
    size: String,
    #[arg(long, default_value = "bf16", value_parser = dtype)]
    dtype: DType,
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Seconds to measure each part for
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

impl Speed {
    pub fn run(&self, device: &SelectedDevice) -> Result<Value> {
        let source = NetworkSource::new(&self.size, None, None)?;
        let started = Instant::now();
        let capacity = Capacity { windows: self.batch, sequences: self.batch };
        let mut backend = source.backend(self.dtype, &device.device, capacity)?;
        device.device.synchronize()?;
        let load_seconds = started.elapsed().as_secs_f64();
        let mel = random::mel(&source.config, 0);
        let inputs: Vec<WindowInput<'_>> =
            (0..self.batch).map(|slot| WindowInput { slot, mel: &mel }).collect();
        let encoder = best_seconds(device, self.seconds, || encode(&mut backend, &inputs))?;
        let with_logits = self.step(&mut backend, device, &[0])?;
        let without = self.step(&mut backend, device, &[])?;
        let ahead = self.ahead(&mut backend, device)?;
        let held = MemoryStats::measure(&device.device)?.device.map(|usage| usage.current);
        Ok(json!({
            "size": self.size, "dtype": self.dtype.as_str(), "batch": self.batch, "device": device.name,
            "load_seconds": load_seconds,
            "encodes_together": backend.encoder_batch(),
            "encoder_seconds_per_window": encoder / self.batch as f64,
            "step_seconds": with_logits,
            "step_seconds_without_logits": without,
            "step_seconds_ahead": ahead,
            "position": POSITION,
            "memory": held,
        }))
    }

    /// Returns the seconds of a step of all rows.
    fn step(
        &self,
        backend: &mut CandleBackend,
        device: &SelectedDevice,
        logits_after: &[usize],
    ) -> Result<f64> {
        let prompt: Vec<u32> = (0..POSITION as u32).collect();
        let mut logits = Vec::new();
        let rows = |position, tokens| -> Vec<RowInput<'_>> {
            let row = |sequence| RowInput { sequence, window: sequence, position, tokens, logits_after };
            (0..self.batch).map(row).collect()
        };
        backend.decode(&rows(0, &prompt[..]), &mut logits)?;
        let step = rows(POSITION, &prompt[..1]);
        best_seconds(device, self.seconds, || Ok(backend.decode(&step, &mut logits)?))
    }

    /// Returns the seconds of a step of all rows with sampling on the device, or `None` if the device has no sampler.
    fn ahead(&self, backend: &mut CandleBackend, device: &SelectedDevice) -> Result<Option<f64>> {
        let steps = backend.sampling_steps();
        if steps == 0 {
            return Ok(None);
        }
        let (rules, positions) = (rules()?, vec![POSITION; self.batch]);
        let seconds = best_seconds(device, self.seconds, || {
            sample_tokens(backend, &rules, &positions, steps)?;
            Ok(())
        })?;
        Ok(Some(seconds / steps as f64))
    }
}
