//! What stands before the network: decodes, resamples and (with `--mel`) cuts one file and computes its mel, as
//! the program does. To be timed from outside, beside other programs: see compare.py.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::mel::{ChunkMode, MelChunker};

#[derive(Parser)]
struct Args {
    #[arg(default_value = "fixtures/long/long_en.flac")]
    audio: PathBuf,
    /// Compute the mel with so many bins; without it the samples are only decoded
    #[arg(long)]
    mel: Option<usize>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Decode and resample on threads of their own, so many decoding side by side
    #[arg(long)]
    ahead: Option<usize>,
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let (input, options) = (AudioInput::file(&args.audio)?, AudioOptions::default());
    let mut reader = match args.ahead {
        Some(lanes) => input.open_prefetching(&options, lanes)?,
        None => input.open(&options)?,
    };
    let mut maker = args.mel.map(|bins| MelChunker::new(bins, ChunkMode::AtPauses { seconds: 120.0 }));
    let (mut samples, mut chunks) = (0, Vec::new());
    while let Some(block) = reader.next_block()? {
        samples += block.len() as u64;
        if let Some(maker) = &mut maker {
            maker.push(block, &mut chunks);
            chunks.clear();
        }
    }
    #[expect(clippy::print_stdout, reason = "the result")]
    {
        println!("{}", transcribe::time::seconds_of_samples(samples));
    }
    Ok(())
}
