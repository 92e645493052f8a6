//! The part of the GPU check that is not in the program itself: measures the limits of the device, occupies memory, and
//! compares the network and its kernels with the CPU. Prints one line of JSON.
//!
//! `benches/gpu/check.py` calls it; to run it by hand, `cargo bench --features cuda --bench gpu -- limits`.

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

    /// Passed by cargo to every benchmark
    #[arg(long, hide = true, global = true)]
    bench: bool,

    #[command(subcommand)]
    command: CheckCommand,
}

#[derive(Debug, Subcommand)]
enum CheckCommand {
    /// Measure the fastest matrix products, and the fastest copying and reading of memory
    Limits,
    /// Allocate memory, print `ready`, and hold it until standard input ends
    Ballast {
        /// Bytes; or a fraction of the free memory, such as 0.9; or leave=BYTES
        amount: Amount,
    },
    /// Compare every kernel with the reference on the CPU
    Kernels {
        /// Only the smallest shapes, for tools that slow everything down
        #[arg(long)]
        few: bool,
    },
    /// Print how much memory is used and free
    Memory,
    /// Compare the network on the device, in each number format, with the CPU in f32
    Parity(network::Parity),
    /// Time the encoder and decoder steps without the engine
    Speed(network::Speed),
}

#[derive(Debug, Clone, Copy)]
enum Amount {
    Bytes(u64),
    Fraction(f64),
    Leave(u64),
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let amount = match text.strip_prefix("leave=") {
            Some(bytes) => bytes.parse().ok().map(Amount::Leave),
            None if text.contains('.') => text.parse().ok().map(Amount::Fraction),
            None => text.parse().ok().map(Amount::Bytes),
        };
        amount.ok_or_else(|| "must be a number of bytes, a fraction such as 0.9, or leave=BYTES".to_owned())
    }
}

impl Amount {
    fn bytes(self, free: u64) -> u64 {
        match self {
            Amount::Bytes(bytes) => bytes,
            Amount::Fraction(fraction) => (free as f64 * fraction) as u64,
            Amount::Leave(bytes) => free.saturating_sub(bytes),
        }
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        // For tools that check only the exit code.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let text = format!("{error:#}");
            writeln!(stderr(), "error: {}", first_line(&text)).ok();
            ExitCode::from(2)
        }
    }
}

/// Cuts off the backtrace that candle may append to its messages.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Returns false if a comparison failed.
fn run(args: Args) -> Result<bool> {
    let device = select(args.device)?;
    let answer = match args.command {
        CheckCommand::Limits => limits::measure(&device)?,
        CheckCommand::Ballast { amount } => return ballast(&device, amount).map(|()| true),
        CheckCommand::Kernels { few } => kernels::compare(&device, few)?,
        CheckCommand::Memory => memory(&device)?,
        CheckCommand::Parity(parity) => parity.run(&device)?,
        CheckCommand::Speed(speed) => speed.run(&device)?,
    };
    writeln!(stdout(), "{answer}")?;
    Ok(answer["passed"] != json!(false))
}

/// Reports the memory that this process holds, and that all processes hold.
fn memory(device: &SelectedDevice) -> Result<Value> {
    let memory = MemoryStats::measure(&device.device)?;
    let usage = memory.device.unwrap_or(memory.host);
    Ok(json!({"device": device.name, "now": usage.current, "free": usage.free, "total": usage.total,
        "used": usage.total.saturating_sub(usage.free)}))
}

/// The largest and the smallest piece to allocate.
const MAX_PIECE: u64 = 1 << 30;
const MIN_PIECE: u64 = 1 << 20;

fn ballast(device: &SelectedDevice, amount: Amount) -> Result<()> {
    let usage = MemoryStats::measure(&device.device)?;
    let wanted = amount.bytes(usage.device.unwrap_or(usage.host).free);
    let (mut pieces, mut held, mut piece) = (Vec::new(), 0, MAX_PIECE);
    while held < wanted {
        let bytes = piece.min(wanted - held);
        match Tensor::zeros(bytes as usize, DType::U8, &device.device) {
            Ok(tensor) => {
                pieces.push(tensor);
                held += bytes;
            }
            Err(_) if piece > MIN_PIECE => piece /= 2,
            Err(_) => break,
        }
    }
    if pieces.is_empty() {
        bail!("cannot allocate any memory");
    }
    device.device.synchronize()?;
    writeln!(stdout(), "ready {held}")?;
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new()).context("waiting for the end of standard input")?;
    Ok(())
}

/// Returns the shortest time of `work` over several runs, including the device's work.
fn best_seconds(device: &SelectedDevice, at_least: f64, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    device.device.synchronize()?;
    let (mut best, mut spent, mut runs) = (f64::INFINITY, 0.0, 0);
    while spent < at_least || runs < 3 {
        let started = Instant::now();
        work()?;
        device.device.synchronize()?;
        let seconds = started.elapsed().as_secs_f64();
        (best, spent, runs) = (best.min(seconds), spent + seconds, runs + 1);
    }
    Ok(best)
}

/// Returns values from -1 to 1 that depend only on the name.
fn noise(name: &str, shape: &[usize], dtype: DType, device: &candle_core::Device) -> Result<Tensor> {
    let hashed = transcribe::whisper::random::HashedValues::of(name);
    let values: Vec<f32> = (0..shape.iter().product()).map(|i| 2.0 * hashed.uniform(i)).collect();
    // Rounded on the host, so that every device gets the same values.
    let values = Tensor::from_vec(values, shape, &candle_core::Device::Cpu)?.to_dtype(dtype)?;
    Ok(values.to_device(device)?)
}

/// Parses the name of a number format.
fn dtype(name: &str) -> Result<DType, String> {
    match name {
        "f32" => Ok(DType::F32),
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        _ => Err("must be one of f32, f16, bf16".into()),
    }
}
