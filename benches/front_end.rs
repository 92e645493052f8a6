//! The front end as a program of its own: decodes, resamples and, with `--mel`, chunks one file and computes its mel, as
//! `transcribe` does. Timed from outside, next to other programs: see compare.py.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::mel::{ChunkMode, MelChunker};

#[derive(Parser)]
struct Args {
    #[arg(default_value = "fixtures/long/long_en.flac")]
    audio: PathBuf,
    /// Compute the mel with this many bins; without it the samples are only decoded
    #[arg(long)]
    mel: Option<usize>,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Prefetch on separate threads, with up to this many decoding in parallel
    #[arg(long)]
    prefetch: Option<usize>,
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let (input, options) = (AudioInput::file(&args.audio)?, AudioOptions::default());
    let mut reader = match args.prefetch {
        Some(threads) => input.open_prefetching(&options, threads)?,
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
