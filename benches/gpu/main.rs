//! What the check of a GPU needs beside the program itself: the limits of the device, memory taken away from others,
//! and the network and its kernels on the device beside the same on the CPU. Every answer is one line of JSON.
//!
//! `benches/gpu/check.py` calls it; by hand, `cargo bench --features cuda --bench gpu -- limits`.

mod kernels;
mod limits;
mod network;

use std::io::{Read, Write, stderr, stdin, stdout};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Tensor};
use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use transcribe::device::memory::MemoryStats;
use transcribe::device::{DeviceRequest, SelectedDevice, select};

/// Measure a device, and compare what it computes with the CPU
#[derive(Debug, Parser)]
struct Args {
    /// Where to compute
    #[arg(long, default_value = "cuda", global = true)]
    device: DeviceRequest,

    /// What cargo says to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,

    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The fastest matrix products, and the fastest copying and reading of memory
    Limits,
    /// Take memory, say `ready`, and hold it until standard input ends
    Ballast {
        /// Bytes; or a part of what is free, such as 0.9; or leave=BYTES
        amount: Amount,
    },
    /// Compare every kernel with candle's own operations on the CPU
    Kernels {
        /// Only the smallest shapes, for tools that slow everything down
        #[arg(long)]
        few: bool,
    },
    /// How much memory is used and left
    Memory,
    /// Compare the network on the device, in each type of number, with the same on the CPU in f32
    Parity(network::Parity),
    /// Time the encoder and steps of the decoder without the engine around them
    Speed(network::Speed),
}

#[derive(Debug, Clone, Copy)]
enum Amount {
    Bytes(u64),
    Part(f64),
    Leave(u64),
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount = match text.strip_prefix("leave=") {
            Some(bytes) => bytes.parse().ok().map(Amount::Leave),
            None if text.contains('.') => text.parse().ok().map(Amount::Part),
            None => text.parse().ok().map(Amount::Bytes),
        };
        amount.ok_or_else(|| "must be a number of bytes, a part such as 0.9, or leave=BYTES".to_owned())
    }
}

impl Amount {
    fn bytes(self, free: u64) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::Part(part) => (free as f64 * part) as u64,
            Amount::Leave(bytes) => free.saturating_sub(bytes),
        }
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        // So that a tool that only looks at the exit code knows.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let text = format!("{error:#}");
            writeln!(stderr(), "error: {}", first_line(&text)).ok();
            ExitCode::from(2)
        }
    }
}

/// candle's own text may carry a backtrace behind it.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Whether all that was compared is alike.
fn run(args: Args) -> Result<bool> {
    let device = select(args.device)?;
    let answer = match args.what {
        What::Limits => limits::measure(&device)?,
        What::Ballast { amount } => return ballast(&device, amount).map(|()| true),
        What::Kernels { few } => kernels::compare(&device, few)?,
        What::Memory => memory(&device)?,
        What::Parity(parity) => parity.run(&device)?,
        What::Speed(speed) => speed.run(&device)?,
    };
    writeln!(stdout(), "{answer}")?;
    Ok(answer["passed"] != json!(false))
}

/// As this process sees it: what it holds itself, and what all together hold.
fn memory(device: &SelectedDevice) -> Result<Value> {
    let memory = MemoryStats::measure(&device.device)?;
    let usage = memory.device.unwrap_or(memory.host);
    Ok(json!({"device": device.name, "now": usage.current, "free": usage.free, "total": usage.total,
        "used": usage.total.saturating_sub(usage.free)}))
}

/// The largest piece to ask for at a time.
const PIECE: u64 = 1 << 30;
const LEAST_PIECE: u64 = 1 << 20;

fn ballast(device: &SelectedDevice, amount: Amount) -> Result<()> {
    let usage = MemoryStats::measure(&device.device)?;
    let wanted = amount.bytes(usage.device.unwrap_or(usage.host).free);
    let (mut pieces, mut held, mut piece) = (Vec::new(), 0, PIECE);
    while held < wanted {
        let bytes = piece.min(wanted - held);
        match Tensor::zeros(bytes as usize, DType::U8, &device.device) {
            Ok(tensor) => {
                pieces.push(tensor);
                held += bytes;
            }
            Err(_) if piece > LEAST_PIECE => piece /= 2,
            Err(_) => break,
        }
    }
    if pieces.is_empty() {
        bail!("no memory to take");
    }
    device.device.synchronize()?;
    writeln!(stdout(), "ready {held}")?;
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new()).context("waiting for the end of standard input")?;
    Ok(())
}

/// The fewest seconds that `work` took in several turns, the device having finished.
fn best_seconds(device: &SelectedDevice, at_least: f64, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    device.device.synchronize()?;
    let (mut best, mut spent, mut turns) = (f64::INFINITY, 0.0, 0);
    while spent < at_least || turns < 3 {
        let started = Instant::now();
        work()?;
        device.device.synchronize()?;
        let seconds = started.elapsed().as_secs_f64();
        (best, spent, turns) = (best.min(seconds), spent + seconds, turns + 1);
    }
    Ok(best)
}

/// Numbers from -1 to 1, always the same for a name.
fn noise(name: &str, shape: &[usize], dtype: DType, device: &candle_core::Device) -> Result<Tensor> {
    let numbers = transcribe::whisper::random::HashedValues::of(name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| 2.0 * numbers.uniform(i)).collect();
    // Rounded on the host, so that every device gets the same.
    let values = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?.to_dtype(dtype)?;
    Ok(values.to_device(device)?)
}

/// A type of number by its usual name.
fn dtype(name: &str) -> Result<DType, String> {
    match name {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err("must be one of f32, f16, bf16".into()),
    }
}
